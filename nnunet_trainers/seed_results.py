"""Dice on the validation images, per seed and over seeds, from the summaries nnU-Net writes."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from monai_lightseg.atomic import write_text
from monai_lightseg.errors import LightsegError

__all__ = ["CHECKPOINT", "SUMMARY", "SeedResult", "SeedTable", "Spread", "is_finished", "read_result"]

CHECKPOINT = "checkpoint_final.pth"
SUMMARY = "validation/summary.json"


@dataclass(frozen=True)
class SeedResult:
    """Dice of one seed on the validation images, the mean over the foreground classes; NaN where a class is nowhere.

    Attributes:
        seed: of the training.
        mean_dice: mean over the images, without those that are empty in label and prediction, as nnU-Net reports it.
        pooled_dice: over the pixels of all images together.
    """

    seed: int
    mean_dice: float
    pooled_dice: float


@dataclass(frozen=True)
class Spread:
    """One score over seeds; `std` is that of a sample (n - 1), None for a single seed."""

    mean: float
    std: float | None
    min: float
    max: float


@dataclass(frozen=True)
class SeedTable:
    """The seeds of one training."""

    dataset: str
    trainer: str
    plans: str
    configuration: str
    fold: str
    seeds: list[SeedResult]

    @property
    def over_seeds(self) -> dict[str, Spread]:
        """The spread of `mean_dice` and of `pooled_dice`."""
        return {name: _spread([getattr(seed, name) for seed in self.seeds]) for name in ("mean_dice", "pooled_dice")}

    @property
    def file_name(self) -> str:
        """What `write` calls its file."""
        return f"seeds_{self.trainer}__{self.plans}__{self.configuration}__fold_{self.fold}.json"

    def write(self, folder: Path) -> Path:
        """Write the table as JSON into `folder` and return the path.

        Raises:
            LightsegError: the folder cannot be written.
        """
        path = folder / self.file_name
        content = asdict(self) | {"over_seeds": {name: asdict(spread) for name, spread in self.over_seeds.items()}}
        # A class that is nowhere has no Dice, and JSON has no NaN.
        finite = json.loads(json.dumps(content), parse_constant=lambda _: None)
        try:
            write_text(path, json.dumps(finite, indent=2) + "\n")
        except OSError as error:
            raise LightsegError(f"{path} cannot be written ({error.strerror}): check the folder") from error
        return path


def is_finished(fold_folder: Path) -> bool:
    """Whether the training in this folder of results came to its end, validation included."""
    return (fold_folder / CHECKPOINT).is_file() and (fold_folder / SUMMARY).is_file()


def read_result(fold_folder: Path, seed: int) -> SeedResult:
    """The result of the training in `fold_folder`.

    Raises:
        LightsegError: nnU-Net's summary is missing or damaged, or has no Dice.
    """
    path = fold_folder / SUMMARY
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mean = float(content["foreground_mean"]["Dice"])
        cases = [case["metrics"] for case in content["metric_per_case"]]
        pooled = float(np.mean([_pooled_dice([case[label] for case in cases]) for label in content["mean"]]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LightsegError(f"{path} has no scores ({error!r}): remove it and run the same command again") from error
    return SeedResult(seed, mean, pooled)


def _pooled_dice(counts: list[dict[str, float]]) -> float:
    hits, false_alarms, misses = (sum(case[name] for case in counts) for name in ("TP", "FP", "FN"))
    pixels = 2 * hits + false_alarms + misses
    return 2 * hits / pixels if pixels else math.nan


def _spread(values: list[float]) -> Spread:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, float(np.min(values)), float(np.max(values)))
