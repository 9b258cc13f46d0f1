"""Predicted pictures and the true ones they belong to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from monai_lightseg.data import PICTURE_SUFFIXES, picture_stem
from monai_lightseg.errors import LightsegError

__all__ = ["Match", "check_one_size", "match_predictions"]

# What data sets and MONAI's SaveImage put behind the name of a case.
_ENDINGS = ("_segmentation", "_mask", "_lesion", "_anno", "_trans", "_seg", "_pred")


@dataclass(frozen=True)
class Match:
    """A case with its prediction and its truth, both files."""

    id: str
    prediction: Path
    label: Path


def match_predictions(predictions: Path, labels: Path) -> list[Match]:
    """Match the files of two folders by case, sorted by id.

    A file belongs to the case of its stem, without an ending such as `_segmentation`, `_seg` or `_trans`. As MONAI
    saves them, files may also lie in a folder named after the case. Files that are no pictures are passed over.

    Raises:
        LightsegError: a folder holds no pictures, two files of one case, or a case that the other one lacks.
    """
    predicted, true = _pictures_by_case(predictions), _pictures_by_case(labels)
    for have, lack, folder in ((true, predicted, predictions), (predicted, true, labels)):
        missing = sorted(have.keys() - lack.keys())
        if missing:
            raise LightsegError(
                f"{folder} has no file for {missing[0]}, which is {have[missing[0]]} "
                f"({len(missing)} of {len(have)} are missing): give both folders the same cases"
            )
    return [Match(case_id, predicted[case_id], true[case_id]) for case_id in sorted(true)]


def check_one_size(prediction: Path, predicted: NDArray[Any], label: Path, true: NDArray[Any]) -> None:
    """Check that two pictures (height, width), read from these files, have one size.

    Raises:
        LightsegError: they do not.
    """
    if predicted.shape != true.shape:
        sizes = ["{} x {}".format(*pixels.shape) for pixels in (predicted, true)]
        raise LightsegError(
            f"{prediction} is {sizes[0]} but {label} is {sizes[1]} (height x width): give both one size"
        )


def _pictures_by_case(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    files = [*folder.glob("*"), *(path for path in folder.glob("*/*") if path.name.startswith(path.parent.name))]
    for path in sorted(files):
        if path.name.startswith(".") or not path.name.lower().endswith(PICTURE_SUFFIXES) or path.is_dir():
            continue
        case_id = _case_of(picture_stem(path))
        if case_id in found:
            raise LightsegError(f"{path} and {found[case_id]} are of one case, {case_id}: keep one")
        found[case_id] = path
    if not found:
        raise LightsegError(f"{folder} holds no masks: pass a folder of files named CASE.png")
    return found


def _case_of(stem: str) -> str:
    return next((stem.removesuffix(ending) for ending in _ENDINGS if stem.endswith(ending)), stem)
