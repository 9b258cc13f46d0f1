"""The thresholded Jaccard index of the ISIC 2018 challenge, as a MONAI metric.

Codella et al., "Skin lesion analysis toward melanoma detection 2018" (2019), https://arxiv.org/abs/1902.03368.
"""

import torch
from monai.metrics import CumulativeIterationMetric
from monai.metrics.utils import ignore_background
from monai.utils import convert_to_tensor
from torch import Tensor

from monai_lightseg.errors import LightsegError

__all__ = ["JACCARD_THRESHOLD", "ThresholdedJaccardMetric", "compute_thresholded_jaccard", "zero_below"]

JACCARD_THRESHOLD = 0.65


def zero_below(jaccard: Tensor, threshold: float) -> Tensor:
    """The same, with 0 for values below the threshold; NaN stays."""
    return torch.where(jaccard < threshold, 0.0, jaccard)


def compute_thresholded_jaccard(
    y_pred: Tensor,
    y: Tensor,
    threshold: float = JACCARD_THRESHOLD,
    include_background: bool = True,
    ignore_empty: bool = True,
) -> Tensor:
    """Jaccard index (IoU) of each mask, or 0 where it is below the threshold: the segmentation failed.

    Args:
        y_pred: masks (B, C, H, W) of 0 and 1.
        y: true masks of the same shape.
        threshold: smallest Jaccard index that counts.
        include_background: score the first channel too.
        ignore_empty: where prediction and truth are both empty, give NaN, which means leave out; else 1, as the
            challenge does. Where one of them is empty the score is 0; MONAI's own metrics leave out every empty truth.

    Returns:
        (B, C) float64, without the first channel if that is not scored.

    Raises:
        LightsegError: shapes differ or have fewer than three dimensions, or other values than 0 and 1.
        ValueError: a threshold outside 0 to 1.
    """
    _check_threshold(threshold)
    masks = [convert_to_tensor(mask) for mask in (y_pred, y)]
    if masks[0].shape != masks[1].shape:
        raise LightsegError(f"y_pred is {tuple(y_pred.shape)}, y {tuple(y.shape)}: give both one shape")
    if masks[0].ndim < 3:
        raise LightsegError(f"y_pred is {tuple(y_pred.shape)}: give masks (batch, channel, height, width)")
    if any(((mask != 0) & (mask != 1)).any() for mask in masks):
        raise LightsegError("masks hold 0 and 1 only: threshold predictions first")
    if not include_background:
        masks = list(ignore_background(*masks))
    predicted, true = (mask.bool().flatten(2) for mask in masks)
    union = (predicted | true).sum(dim=2)
    jaccard = (predicted & true).sum(dim=2).double() / union
    return zero_below(jaccard if ignore_empty else torch.where(union == 0, 1.0, jaccard), threshold)


class ThresholdedJaccardMetric(CumulativeIterationMetric):
    """Thresholded Jaccard index of the ISIC 2018 challenge; see `compute_thresholded_jaccard`.

    Call it on masks of 0 and 1, a batch (B, C, H, W) or lists of (C, H, W), then `aggregate`.

    Args:
        threshold: smallest Jaccard index that counts.
        include_background: score the first channel too.
        ignore_empty: leave out images where prediction and truth are both empty; else they score 1.
    """

    def __init__(
        self, threshold: float = JACCARD_THRESHOLD, include_background: bool = True, ignore_empty: bool = True
    ) -> None:
        super().__init__()
        _check_threshold(threshold)
        self.threshold = threshold
        self.include_background = include_background
        self.ignore_empty = ignore_empty

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return compute_thresholded_jaccard(y_pred, y, self.threshold, self.include_background, self.ignore_empty)

    def aggregate(self) -> Tensor:
        """Mean over all masks seen since the last reset, a scalar; NaN if all are left out.

        Raises:
            ValueError: no mask was seen.
        """
        values = self.get_buffer()
        if values is None:
            raise ValueError("there is nothing to aggregate: call the metric on masks first")
        return values.nanmean()


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise ValueError(f"threshold must be from 0 to 1, got {threshold!r}")
