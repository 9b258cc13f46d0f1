"""Confidence intervals of the scores of a set of images, pooled and of the mean."""

from dataclasses import dataclass

import numpy as np

from monai_lightseg.metrics.binary_scores import METRICS, BinaryScores
from monai_lightseg.metrics.statistics import Interval, mean_interval, pooled_interval

__all__ = ["ScoreIntervals", "score_intervals"]

# Pooled scores that are one ratio of sums over images, as weights of tp, fp, tn and fn above and below the line.
RATIOS = {
    "dice": ((2, 0, 0, 0), (2, 1, 0, 1)),
    "iou": ((1, 0, 0, 0), (1, 1, 0, 1)),
    "sensitivity": ((1, 0, 0, 0), (1, 0, 0, 1)),
    "specificity": ((0, 0, 1, 0), (0, 1, 1, 0)),
    "accuracy": ((1, 0, 1, 0), (1, 1, 1, 1)),
}


@dataclass(frozen=True)
class ScoreIntervals:
    """Intervals by score; those that do not exist, because a score does not, are left out.

    Attributes:
        pooled: of pooled scores, by the bootstrap over images; all but mean_iou.
        per_image_mean: of means over images, by Student's t.
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
    counts = np.array([list(of.values()) for of in scores.counts.values()])
    values = {name: np.array([of[name] for of in scores.per_image.values()]) for name in METRICS}
    return ScoreIntervals(
        pooled={
            name: pooled_interval(counts @ above, counts @ below, level=level, seed=seed)
            for name, (above, below) in RATIOS.items()
            if (counts @ below).any()
        },
        per_image_mean={
            name: mean_interval(of[~np.isnan(of)], level=level) for name, of in values.items() if not np.isnan(of).all()
        },
    )
