"""Random numbers of a MONAI training that depend on the epoch alone; needs the `bundle` extra."""

from collections.abc import Mapping
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset
from monai.data.utils import set_rnd

__all__ = ["EpochSeed"]


class EpochSeed:
    """Handler of a trainer: seeds torch and the random transforms at the start of each epoch.

    A training that is resumed after an epoch then goes on as one that was never interrupted. Processes that train
    together draw different numbers. The state is that of the trainer, which a config cannot name among what its own
    handlers save.

    Args:
        seed: any number; the epoch and the process are added.
        dataset: data set with the random transforms.
    """

    def __init__(self, seed: int, dataset: Dataset) -> None:
        self.seed = seed
        self.dataset = dataset

    def attach(self, engine: Engine) -> None:
        """Register with a trainer."""
        self.trainer = engine
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for the epoch that starts."""
        # Epochs and processes draw far from one another; the numbers of workers and processes still change the draws.
        seed = self.seed + 1_000 * engine.state.epoch + 1_000_000 * idist.get_rank()
        torch.manual_seed(seed)
        set_rnd(self.dataset, seed=seed)

    def state_dict(self) -> Mapping[str, Any]:
        """The trainer's progress."""
        return self.trainer.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Set the trainer's progress.

        Raises:
            ValueError: the training was to have another number of epochs, by which its learning rates go.
        """
        wanted, epochs = self.trainer.state.max_epochs, state_dict["max_epochs"]
        if wanted != epochs:
            raise ValueError(
                f"the checkpoint is of a training of {epochs} epochs, not {wanted}: resume with --epochs {epochs}, or "
                "start a new training from its weights with --start"
            )
        self.trainer.load_state_dict(state_dict)
