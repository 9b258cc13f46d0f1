"""The list of trainers this package offers."""

from nnunet_trainers import nmode_decoder, registered_network, ultralight_vm_unet, unode  # noqa: F401 (define trainers)
from nnunet_trainers.base import nnUNetTrainerLightseg

__all__ = ["trainer_classes"]


def trainer_classes() -> dict[str, type[nnUNetTrainerLightseg]]:
    """Every trainer of this package by class name, sorted; subclasses that others make of them are theirs."""
    found = {nnUNetTrainerLightseg}
    waiting = [nnUNetTrainerLightseg]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting.extend(below)
    ours = [trainer for trainer in found if trainer.__module__.startswith("nnunet_trainers.")]
    return {trainer.__name__: trainer for trainer in sorted(ours, key=lambda trainer: trainer.__name__)}
