"""The list of trainers this package offers."""

from nnunet_trainers import nmode_decoder  # noqa: F401 (defines trainers)
from nnunet_trainers.base import nnUNetTrainerLightseg

__all__ = ["trainer_classes"]


def trainer_classes() -> dict[str, type[nnUNetTrainerLightseg]]:
    """Every trainer by class name, sorted."""
    found = {nnUNetTrainerLightseg}
    waiting = [nnUNetTrainerLightseg]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting.extend(below)
    return {trainer.__name__: trainer for trainer in sorted(found, key=lambda trainer: trainer.__name__)}
