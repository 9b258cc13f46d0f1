"""Predicted pictures and the true ones they belong to."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError

__all__ = ["check_one_size", "matched_names"]


def matched_names(predictions: Path, labels: Path) -> list[str]:
    """The names of the PNG files that are in both folders, sorted.

    Raises:
        LightsegError: a folder holds none, or a file that the other one lacks.
    """
    names = {folder: {path.name for path in folder.glob("*.png")} for folder in (predictions, labels)}
    for folder, found in names.items():
        if not found:
            raise LightsegError(f"{folder} holds no PNG masks: pass a folder of masks named CASE.png")
    for have, lack in ((labels, predictions), (predictions, labels)):
        missing = sorted(names[have] - names[lack])
        if missing:
            raise LightsegError(
                f"{lack / missing[0]} is missing ({len(missing)} of {len(names[have])} in {have}): "
                "give both folders the same names"
            )
    return sorted(names[labels])


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
