"""Two or more models compared on the same images, with paired tests."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from monai.utils import look_up_option
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics.binary_scores import METRICS, BinaryScores
from monai_lightseg.metrics.confusion import POOLED_METRICS
from monai_lightseg.metrics.intervals import DISTANCES, pooled_difference
from monai_lightseg.metrics.statistics import Interval, PairedTest, holm, paired_permutation, paired_wilcoxon

__all__ = ["ModelComparison", "compare_models"]


@dataclass(frozen=True)
class ModelComparison:
    """One model against another by one score; differences are this model less the other.

    Attributes:
        other: name of the other model.
        metric: which score.
        mean: of this model over the images that count.
        other_mean: of the other model over the same images.
        undefined: images that do not count, because neither model has a score.
        silent: images where only one model has a score. The truth is empty there, the other model predicted nothing,
            which is right, and gets 1 (a distance of 0).
        wilcoxon: Wilcoxon's signed-rank test.
        permutation: sign-flip permutation test of the mean difference.
        wilcoxon_adjusted: p value of `wilcoxon` by Holm, over all comparisons made with it.
        permutation_adjusted: the same of `permutation`.
        pooled: difference of the pooled scores, by the paired bootstrap; None where `metric` is not a pooled score.
    """

    other: str
    metric: str
    mean: float
    other_mean: float
    undefined: int
    silent: int
    wilcoxon: PairedTest
    permutation: PairedTest
    wilcoxon_adjusted: float
    permutation_adjusted: float
    pooled: Interval | None


def compare_models(
    scores: BinaryScores, others: Mapping[str, BinaryScores], *, metric: str = "dice", seed: int = 0
) -> list[ModelComparison]:
    """Compare a model with each of `others`, image by image.

    Args:
        scores: of the model.
        others: of the other models, by name, on the same images in the same order.
        metric: one of METRICS.
        seed: of permutation test and bootstrap.

    Raises:
        LightsegError: another model has other images, or fewer than two images count.
        ValueError: unknown metric.
    """
    look_up_option(metric, METRICS)
    tables = {name: _paired(name, scores, other, metric) for name, other in others.items()}
    filled = {name: np.where(np.isnan(table), _perfect(metric), table) for name, table in tables.items()}
    wilcoxon = {name: paired_wilcoxon(*table) for name, table in filled.items()}
    permutation = {name: paired_permutation(*table, seed=seed) for name, table in filled.items()}
    adjusted = [holm([test.p_value for test in tests.values()]) for tests in (wilcoxon, permutation)]
    return [
        ModelComparison(
            other=name,
            metric=metric,
            mean=float(filled[name][0].mean()),
            other_mean=float(filled[name][1].mean()),
            undefined=len(scores.per_image) - table.shape[1],
            silent=int(np.isnan(table).any(axis=0).sum()),
            wilcoxon=wilcoxon[name],
            permutation=permutation[name],
            wilcoxon_adjusted=float(adjusted[0][place]),
            permutation_adjusted=float(adjusted[1][place]),
            pooled=pooled_difference(scores, others[name], metric=metric, seed=seed)
            if metric in POOLED_METRICS
            else None,
        )
        for place, (name, table) in enumerate(tables.items())
    ]


def _perfect(metric: str) -> float:
    return 0.0 if metric in DISTANCES else 1.0


def _paired(name: str, scores: BinaryScores, other: BinaryScores, metric: str) -> NDArray[np.float64]:
    """Both models' scores, (2, images), of the images where one of them has one."""
    if list(scores.per_image) != list(other.per_image):
        raise LightsegError(f"{name} was scored on other images, or in another order: score the same ones")
    values = np.array([[of.per_image[case][metric] for case in scores.per_image] for of in (scores, other)])
    kept = values[:, ~np.isnan(values).all(axis=0)]
    if kept.shape[1] < 2:
        raise LightsegError(f"{name} cannot be compared: a paired test needs two images with a {metric}")
    return kept
