"""Dice, IoU, sensitivity, specificity and accuracy of binary masks, pooled and per image, through MONAI."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics import ConfusionMatrixMetric, compute_confusion_matrix_metric
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError

__all__ = ["METRICS", "BinaryScores", "score_binary_masks"]

# Our names, and MONAI's.
METRICS = {
    "dice": "f1 score",
    "iou": "threat score",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "accuracy": "accuracy",
}


@dataclass(frozen=True)
class BinaryScores:
    """Scores of a set of images; every dictionary has the keys of METRICS.

    Attributes:
        pooled: one confusion matrix over all pixels of all images, as most papers on light networks report.
        per_image_mean: mean over images, as nnU-Net reports. An image where a score is 0/0 (for Dice and IoU: neither
            truth nor prediction has a pixel) is left out of that mean.
        undefined: number of images left out.
        per_image: per case id, the scores; NaN where 0/0.
    """

    pooled: dict[str, float]
    per_image_mean: dict[str, float]
    undefined: dict[str, int]
    per_image: dict[str, dict[str, float]]


def score_binary_masks(
    masks: Iterable[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]],
) -> BinaryScores:
    """Score predictions against the truth.

    Args:
        masks: (case id, prediction, truth) triples; masks (H, W) of 0 and 1, sizes may vary between cases.

    Raises:
        LightsegError: no masks, a case id twice, other values than 0 and 1, or a prediction of another size than its
            truth.
    """
    confusion = ConfusionMatrixMetric(metric_name=tuple(METRICS.values()))
    ids: dict[str, None] = {}
    for case_id, prediction, truth in masks:
        if case_id in ids:
            raise LightsegError(f"{case_id} is there twice: give every case one prediction and one truth")
        if prediction.shape != truth.shape:
            raise LightsegError(
                f"{case_id}: the prediction is {prediction.shape}, the truth {truth.shape}: give both one size"
            )
        if max(prediction.max(), truth.max()) > 1:
            raise LightsegError(f"{case_id}: masks hold 0 and 1 only, so turn other values into these")
        confusion(torch.from_numpy(prediction)[None, None], torch.from_numpy(truth)[None, None])
        ids[case_id] = None
    if not ids:
        raise LightsegError("there are no masks to score")
    # (images, 1 class, [true positive, false positive, true negative, false negative]); float64 keeps counts exact.
    counts = confusion.get_buffer().double()[:, 0]
    each = {name: compute_confusion_matrix_metric(monai_name, counts) for name, monai_name in METRICS.items()}
    total = counts.sum(dim=0, keepdim=True)
    return BinaryScores(
        pooled={
            name: compute_confusion_matrix_metric(monai_name, total).item() for name, monai_name in METRICS.items()
        },
        per_image_mean={name: values.nanmean().item() for name, values in each.items()},
        undefined={name: int(values.isnan().sum()) for name, values in each.items()},
        per_image={case_id: {name: values[i].item() for name, values in each.items()} for i, case_id in enumerate(ids)},
    )
