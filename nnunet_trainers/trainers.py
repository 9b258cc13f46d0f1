"""The list of trainers this package offers, and each of them under any seed as `<trainer>_seed<number>`."""

import re
from functools import cache

from nnunet_trainers import nmode_decoder, registered_network, ultralight_vm_unet, unode  # noqa: F401 (define trainers)
from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.seeded import SeededTrainer, seeded_variant

__all__ = ["trainer_classes"]


def trainer_classes() -> dict[str, type[nnUNetTrainerLightseg]]:
    """Every trainer of this package by class name, sorted; subclasses that others make of them are theirs.

    The seeded ones, of which there is no end, are left out.
    """
    found = {nnUNetTrainerLightseg}
    waiting = [nnUNetTrainerLightseg]
    while waiting:
        below = waiting.pop().__subclasses__()
        found.update(below)
        waiting.extend(below)
    ours = [
        trainer
        for trainer in found
        if trainer.__module__.startswith("nnunet_trainers.") and not issubclass(trainer, SeededTrainer)
    ]
    return {trainer.__name__: trainer for trainer in sorted(ours, key=lambda trainer: trainer.__name__)}


def __getattr__(name: str) -> type[SeededTrainer]:
    """The seeded trainer of that name, made when it is asked for: nnU-Net looks for attributes, and so does pickle."""
    trainer = _seeded_trainer(name)
    if trainer is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return trainer


@cache
def _seeded_trainer(name: str) -> type[SeededTrainer] | None:
    # No zeros in front: one seed, one name, one folder of results.
    parts = re.fullmatch(r"(\w+)_seed(0|[1-9]\d{0,8})", name)
    trainer = trainer_classes().get(parts[1]) if parts else None
    return None if parts is None or trainer is None else seeded_variant(trainer, int(parts[2]), __name__)
