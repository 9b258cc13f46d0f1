"""Scores of a set of binary masks, pooled and per image."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from monai.config import NdarrayOrTensor
from monai.utils import convert_to_numpy
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics.confusion import COUNTS, POOLED_METRICS, confusion_counts, confusion_scores
from monai_lightseg.metrics.surface import SURFACE_TOLERANCE, check_tolerance, surface_scores
from monai_lightseg.metrics.thresholded_jaccard import JACCARD_THRESHOLD, zero_below

__all__ = ["EMPTY_MASKS", "METRICS", "BinaryScores", "score_binary_masks", "worst_first"]

METRICS = (*POOLED_METRICS, "thresholded_jaccard", "hd95", "surface_dice")

EMPTY_MASKS = (
    "Where a lesion is missed (nothing predicted) or a prediction is a false alarm (no lesion), Dice, IoU, thresholded "
    "Jaccard and surface Dice are 0 and HD95 is the diagonal of the image in pixels. Where there is neither lesion nor "
    "prediction, these scores do not exist: the image is left out of their means and counted."
)


@dataclass(frozen=True)
class BinaryScores:
    """Scores of a set of images. What each score is: docs/metrics.md.

    Attributes:
        pooled: POOLED_METRICS of one confusion matrix over all pixels of all images, as most papers on light networks
            report.
        per_image_mean: METRICS, mean over images, as nnU-Net reports. An image where a score is 0/0 is left out of that
            mean; for HD95 and surface Dice, as for Dice, one where neither truth nor prediction has a pixel.
        undefined: METRICS, number of images left out.
        per_image: per case id, METRICS; NaN where an image is left out.
        counts: per case id, number of pixels tp, fp, tn and fn.
        sizes: per case id, (height, width) in pixels.
        missed: number of images where the truth has pixels and the prediction none.
        false_alarms: number of images where the prediction has pixels and the truth none.
        surface_tolerance: tolerance of `surface_dice` in pixels.
    """

    pooled: dict[str, float]
    per_image_mean: dict[str, float]
    undefined: dict[str, int]
    per_image: dict[str, dict[str, float]]
    counts: dict[str, dict[str, int]]
    sizes: dict[str, tuple[int, int]]
    missed: int
    false_alarms: int
    surface_tolerance: float


def score_binary_masks(
    masks: Iterable[tuple[str, NdarrayOrTensor, NdarrayOrTensor]],
    *,
    surface_tolerance: float = SURFACE_TOLERANCE,
) -> BinaryScores:
    """Score predictions against the truth.

    Args:
        masks: (case id, prediction, truth) triples; masks (H, W) of 0 and 1, arrays or tensors, sizes may vary.
        surface_tolerance: largest distance in pixels at which surface Dice takes outlines for the same.

    Raises:
        LightsegError: no masks, a case id twice, other values than 0 and 1, masks that are not (H, W), or a prediction
            of another size than its truth.
        ValueError: a tolerance that is negative or not finite.
    """
    check_tolerance(surface_tolerance)
    rows: dict[str, tuple[int, int, int, int]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    surfaces: list[tuple[float, float]] = []
    for case_id, prediction, truth in masks:
        if case_id in rows:
            raise LightsegError(f"{case_id} is there twice: give every case one prediction and one truth")
        predicted, true = _checked(case_id, prediction, truth)
        rows[case_id] = confusion_counts(predicted, true)
        sizes[case_id] = (true.shape[0], true.shape[1])
        surfaces.append(surface_scores(predicted, true, surface_tolerance))
    if not rows:
        raise LightsegError("there are no masks to score")
    # float64 keeps counts exact.
    counts = torch.tensor(list(rows.values()), dtype=torch.float64)
    each = confusion_scores(counts)
    each["thresholded_jaccard"] = zero_below(each["iou"], JACCARD_THRESHOLD)
    each["hd95"], each["surface_dice"] = torch.tensor(surfaces, dtype=torch.float64).unbind(dim=1)
    pooled = confusion_scores(counts.sum(dim=0, keepdim=True))
    predicted_pixels, true_pixels = counts[:, [0, 1]].sum(dim=1), counts[:, [0, 3]].sum(dim=1)
    return BinaryScores(
        pooled={name: value.item() for name, value in pooled.items()},
        per_image_mean={name: values.nanmean().item() for name, values in each.items()},
        undefined={name: int(values.isnan().sum()) for name, values in each.items()},
        per_image={
            case_id: {name: values[i].item() for name, values in each.items()} for i, case_id in enumerate(rows)
        },
        counts={case_id: dict(zip(COUNTS, row, strict=True)) for case_id, row in rows.items()},
        sizes=sizes,
        missed=int(((true_pixels > 0) & (predicted_pixels == 0)).sum()),
        false_alarms=int(((predicted_pixels > 0) & (true_pixels == 0)).sum()),
        surface_tolerance=float(surface_tolerance),
    )


def worst_first(scores: BinaryScores, metric: str = "dice") -> list[str]:
    """Ids of the cases that have a score, from the lowest to the highest."""
    values = {case_id: of[metric] for case_id, of in scores.per_image.items()}
    return sorted((case_id for case_id in values if not math.isnan(values[case_id])), key=values.__getitem__)


def _checked(
    case_id: str, predicted_mask: NdarrayOrTensor, true_mask: NdarrayOrTensor
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both masks as boolean arrays."""
    prediction, truth = (convert_to_numpy(mask) for mask in (predicted_mask, true_mask))
    if prediction.shape != truth.shape:
        raise LightsegError(
            f"{case_id}: the prediction is {prediction.shape}, the truth {truth.shape}: give both one size"
        )
    if truth.ndim != 2:
        raise LightsegError(f"{case_id}: the masks are {truth.shape}: give one image, (height, width)")
    if any(((mask != 0) & (mask != 1)).any() for mask in (prediction, truth)):
        raise LightsegError(f"{case_id}: masks hold 0 and 1 only, so turn other values into these")
    return prediction.astype(bool), truth.astype(bool)
