"""Scores of a folder of predicted masks against a folder of true ones."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import read_mask
from monai_lightseg.metrics import BinaryScores, score_binary_masks
from monai_lightseg.workflows.prediction_files import check_one_size, matched_names

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
    ordered = tqdm(matched_names(predictions, labels), desc="evaluate", unit="image", disable=not progress)
    return score_binary_masks(
        (name.removesuffix(".png"), *_pair(predictions / name, labels / name)) for name in ordered
    )


def _pair(prediction: Path, label: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    masks = read_mask(prediction), read_mask(label)
    check_one_size(prediction, masks[0], label, masks[1])
    return masks
