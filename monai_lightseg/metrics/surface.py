"""Distances between the outlines of two binary masks, through MONAI, with missed lesions counted."""

import math
import warnings

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray

__all__ = ["SURFACE_TOLERANCE", "check_tolerance", "surface_scores"]

SURFACE_TOLERANCE = 2.0


def check_tolerance(tolerance: float) -> None:
    """Check a tolerance of surface Dice.

    Raises:
        ValueError: negative, infinite or NaN.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"surface_tolerance must be a number of pixels from 0, got {tolerance!r}")


def surface_scores(
    prediction: NDArray[np.bool_], truth: NDArray[np.bool_], tolerance: float = SURFACE_TOLERANCE
) -> tuple[float, float]:
    """HD95 in pixels and surface Dice of one image.

    An outline is the pixels of a mask with one of their four neighbours outside it; so is a pixel at the border of the
    image. HD95 is the larger of two 95th percentiles: of the distances from the predicted outline to the true one, and
    back. Surface Dice is the share of all outline pixels whose distance to the other outline is at most `tolerance`.

    Where one mask is empty, HD95 is the diagonal of the image, longer than any distance within it, and surface Dice 0.
    MONAI's metrics drop such images from their means. Where both are empty, both scores are NaN.

    Args:
        prediction: mask (H, W).
        truth: mask (H, W).
        tolerance: in pixels.
    """
    predicted, true = bool(prediction.any()), bool(truth.any())
    if not predicted and not true:
        return math.nan, math.nan
    if not predicted or not true:
        return math.hypot(*truth.shape), 0.0
    y_pred, y = (torch.from_numpy(mask)[None, None] for mask in (prediction, truth))
    with warnings.catch_warnings():
        # MONAI 1.6 warns of an argument that it passes to itself.
        warnings.filterwarnings("ignore", message="monai.metrics.utils get_mask_edges", category=FutureWarning)
        hd95 = compute_hausdorff_distance(y_pred, y, include_background=True, percentile=95)
        dice = compute_surface_dice(y_pred, y, class_thresholds=[tolerance], include_background=True)
    return hd95.item(), dice.item()
