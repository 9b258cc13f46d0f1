"""What a network learns so that glands that touch can be told apart afterwards."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

__all__ = ["core_border_labels", "gland_targets"]

_BORDER = 6


def gland_targets(labels: NDArray[np.integer[Any]], border: int = _BORDER) -> NDArray[np.float32]:
    """Make the two targets of the paper on neural ODEs for colon glands.

    Args:
        labels: instance labels (height, width), background 0.
        border: how many pixels the erosion takes from each gland; the paper erodes with 13 x 13 ones, so 6.

    Returns:
        float32 array (2, height, width) of 0 and 1: the eroded glands, then the whole glands.

    Raises:
        ValueError: the labels do not have two dimensions, or border is negative.
    """
    return np.stack([_cores(labels, border), labels > 0]).astype(np.float32)


def core_border_labels(labels: NDArray[np.integer[Any]], border: int = _BORDER) -> NDArray[np.uint8]:
    """Write the same as one map of classes: background 0, core (the eroded glands) 1, border (the rest of them) 2.

    Args:
        labels: instance labels (height, width), background 0.
        border: how many pixels the erosion takes from each gland; 0 makes all of it core.

    Returns:
        uint8 array (height, width).

    Raises:
        ValueError: as for `gland_targets`.
    """
    return np.where(_cores(labels, border), 1, (labels > 0) * 2).astype(np.uint8)


def _cores(labels: NDArray[np.integer[Any]], border: int) -> NDArray[np.bool_]:
    """Erode every object by a square; what lies outside the image counts as part of it."""
    if labels.ndim != 2:
        raise ValueError(f"labels have the shape {labels.shape}; pass (height, width)")
    if border < 0:
        raise ValueError(f"border is {border}; pass 0 or more")
    # A pixel survives where its whole square has one label: all objects at once. "nearest" repeats pixels of the
    # square itself, which is as good as passing over those outside the image.
    side = 2 * border + 1
    lowest, highest = minimum_filter(labels, side, mode="nearest"), maximum_filter(labels, side, mode="nearest")
    cores: NDArray[np.bool_] = (lowest == highest) & (labels > 0)
    return cores
