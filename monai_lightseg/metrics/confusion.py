"""Confusion counts of binary masks, and the scores that MONAI computes from them."""

import numpy as np
from monai.metrics import compute_confusion_matrix_metric
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["COUNTS", "POOLED_METRICS", "confusion_counts", "confusion_scores"]

COUNTS = ("tp", "fp", "tn", "fn")

POOLED_METRICS = ("dice", "iou", "mean_iou", "sensitivity", "specificity", "accuracy")

# Seen from the background, true negatives are hits and false negatives are false alarms.
OF_BACKGROUND = [2, 3, 0, 1]


def confusion_counts(prediction: NDArray[np.bool_], truth: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Pixels that are true positive, false positive, true negative and false negative.

    MONAI counts in float32, which is exact up to 2^24 pixels only.

    Args:
        prediction: mask of any shape.
        truth: mask of the same shape.
    """
    tp = int(np.count_nonzero(prediction & truth))
    fp = int(np.count_nonzero(prediction)) - tp
    fn = int(np.count_nonzero(truth)) - tp
    return tp, fp, truth.size - tp - fp - fn, fn


def confusion_scores(counts: Tensor) -> dict[str, Tensor]:
    """Each of POOLED_METRICS per row, (n,); NaN where it is 0/0.

    Args:
        counts: (n, 4) float64, in the order of COUNTS.
    """
    iou = compute_confusion_matrix_metric("threat score", counts)
    iou_of_background = compute_confusion_matrix_metric("threat score", counts[:, OF_BACKGROUND])
    return {
        "dice": compute_confusion_matrix_metric("f1 score", counts),
        "iou": iou,
        "mean_iou": (iou + iou_of_background) / 2,
        "sensitivity": compute_confusion_matrix_metric("sensitivity", counts),
        "specificity": compute_confusion_matrix_metric("specificity", counts),
        "accuracy": compute_confusion_matrix_metric("accuracy", counts),
    }
