"""Confidence intervals of the scores of a set of images, pooled and of the mean, and of pooled differences."""

from dataclasses import dataclass

import numpy as np
import torch
from monai.utils import look_up_option
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics.binary_scores import METRICS, BinaryScores
from monai_lightseg.metrics.confusion import COUNTS, POOLED_METRICS, confusion_scores
from monai_lightseg.metrics.statistics import Interval, mean_interval, percentile_interval, resampled_sums

__all__ = ["ScoreIntervals", "pooled_difference", "score_intervals"]

# The one score that does not end at 1.
DISTANCES = frozenset({"hd95"})


@dataclass(frozen=True)
class ScoreIntervals:
    """Intervals by score; a score that does not exist has none.

    Attributes:
        pooled: of POOLED_METRICS, by the bootstrap over images.
        per_image_mean: of METRICS, by Student's t on the logit scale, so that they end at 1; of distances by plain t.
    """

    pooled: dict[str, Interval]
    per_image_mean: dict[str, Interval]


def score_intervals(scores: BinaryScores, *, level: float = 0.95, seed: int = 0) -> ScoreIntervals:
    """Intervals over images: how far the scores would move with other images of the same kind.

    Args:
        scores: of a set of images.
        level: between 0 and 1.
        seed: of the bootstrap.
    """
    resampled = _resampled(scores, seed)
    n = len(scores.per_image)
    means: dict[str, Interval] = {}
    for name in METRICS:
        values = np.array([of[name] for of in scores.per_image.values()])
        values = values[~np.isnan(values)]
        if len(values):
            means[name] = mean_interval(values, level=level, method="t" if name in DISTANCES else "logit")
    return ScoreIntervals(
        pooled={
            name: percentile_interval(score, resampled[name], n=n, level=level)
            for name, score in scores.pooled.items()
            if not np.isnan(score)
        },
        per_image_mean=means,
    )


def pooled_difference(
    scores: BinaryScores, other: BinaryScores, *, metric: str = "dice", level: float = 0.95, seed: int = 0
) -> Interval:
    """Pooled score of a model less that of another on the same images, with its interval by the paired bootstrap.

    Raises:
        LightsegError: the other model was scored on other images.
        ValueError: unknown metric, or level out of range.
    """
    look_up_option(metric, POOLED_METRICS)
    if list(scores.per_image) != list(other.per_image):
        raise LightsegError("the models were scored on other images, or in another order: score the same ones")
    differences = _resampled(scores, seed)[metric] - _resampled(other, seed)[metric]
    estimate = scores.pooled[metric] - other.pooled[metric]
    return percentile_interval(estimate, differences, n=len(scores.per_image), level=level)


def _resampled(scores: BinaryScores, seed: int) -> dict[str, NDArray[np.float64]]:
    counts = [[of[name] for name in COUNTS] for of in scores.counts.values()]
    sums = torch.from_numpy(resampled_sums(counts, seed=seed))
    return {name: values.numpy() for name, values in confusion_scores(sums).items()}
