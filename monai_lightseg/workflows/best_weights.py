"""The weights with the lowest loss of a MONAI training; needs the `bundle` extra."""

import math
from io import BytesIO
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.networks.utils import get_state_dict
from torch import nn

from monai_lightseg.atomic import write_bytes

__all__ = ["BestWeights"]


class BestWeights:
    """Handler of a validator: writes the network's weights whenever a loss is the lowest so far.

    The file holds tensors only. The losses are part of the state, so that a resumed training knows the lowest;
    MONAI's `CheckpointSaver` starts anew and would replace better weights. Of processes that train together, which all
    know the losses, the first one writes.

    Args:
        network: the network; of one that is spread over processes, what is inside.
        path: file to write, whole or not at all.
        metric: name of the loss among the validator's metrics.
    """

    def __init__(self, network: nn.Module, path: str, metric: str) -> None:
        self.network = network
        self.path = Path(path)
        self.metric = metric
        self.losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Register with a validator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights if this validation's loss is the lowest."""
        loss = float(engine.state.metrics[self.metric])
        if loss < min(self.losses, default=math.inf) and idist.get_rank() == 0:
            buffer = BytesIO()
            torch.save({name: value.cpu() for name, value in get_state_dict(self.network).items()}, buffer)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(self.path, buffer.getvalue())
        # A loss that is no number counts as the highest.
        self.losses.append(math.inf if math.isnan(loss) else loss)

    def state_dict(self) -> dict[str, Any]:
        """The losses so far, first to last."""
        return {"losses": list(self.losses)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after these losses."""
        self.losses = list(state_dict["losses"])
