"""Scores of a folder of predicted masks against a folder of true ones."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import read_mask
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import BinaryScores, score_binary_masks

__all__ = ["evaluate_folders"]


def evaluate_folders(predictions: Path, labels: Path, *, progress: bool = True) -> BinaryScores:
    """Score every PNG mask in `labels` against the file of the same name in `predictions`.

    Args:
        predictions: folder of predicted masks, 0 and 1 (or 0 and 255).
        labels: folder of true masks; each needs a prediction. Predictions without a label are an error too.
        progress: show a progress bar on stderr.

    Raises:
        LightsegError: a folder or a mask is missing, unreadable or of another size.
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
    ordered = tqdm(sorted(names[labels]), desc="evaluate", unit="image", disable=not progress)
    return score_binary_masks(
        (name.removesuffix(".png"), *_pair(predictions / name, labels / name)) for name in ordered
    )


def _pair(prediction: Path, label: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    masks = read_mask(prediction), read_mask(label)
    if masks[0].shape != masks[1].shape:
        sizes = ["{} x {}".format(*mask.shape) for mask in masks]
        raise LightsegError(
            f"{prediction} is {sizes[0]} but {label} is {sizes[1]} (height x width): give both one size"
        )
    return masks
