"""Cosine annealing as a closed form of the epoch."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

__all__ = ["CosineSchedule"]


class CosineSchedule(LRScheduler):
    """From the optimiser's learning rate down to `minimum` in `period` epochs, up again in as many, and so on.

    nnU-Net passes the epoch to `step` and saves no scheduler: torch's own cosine warns of the one and needs the other.

    Args:
        optimizer: its learning rates are those of epoch 0.
        period: epochs from the highest rate to the lowest.
        minimum: lowest learning rate.
    """

    def __init__(self, optimizer: Optimizer, period: int, minimum: float) -> None:
        self.period = period
        self.minimum = minimum
        super().__init__(optimizer)

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of `epoch`, by default the one after the last."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        share = (1 + math.cos(math.pi * self.last_epoch / self.period)) / 2
        for group, highest in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.minimum + (highest - self.minimum) * share
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
