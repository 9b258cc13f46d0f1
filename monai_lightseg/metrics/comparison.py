"""Two or more models compared on the same images, with paired tests."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from monai.utils import look_up_option
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics.binary_scores import METRICS, BinaryScores
from monai_lightseg.metrics.statistics import PairedTest, holm, paired_permutation, paired_wilcoxon

__all__ = ["Comparison", "compare_models"]


@dataclass(frozen=True)
class Comparison:
    """One model against another by one score; differences are this model less the other.

    Attributes:
        other: name of the other model.
        metric: which score.
        mean: of this model over the images that both have a score for.
        other_mean: of the other model over the same images.
        left_out: images where either has no score.
        wilcoxon: Wilcoxon's signed-rank test.
        permutation: sign-flip permutation test of the mean difference.
        wilcoxon_adjusted: p value by Holm, over all models compared.
        permutation_adjusted: the same of the permutation test.
    """

    other: str
    metric: str
    mean: float
    other_mean: float
    left_out: int
    wilcoxon: PairedTest
    permutation: PairedTest
    wilcoxon_adjusted: float
    permutation_adjusted: float


def compare_models(
    scores: BinaryScores, others: Mapping[str, BinaryScores], *, metric: str = "dice", seed: int = 0
) -> list[Comparison]:
    """Compare a model with each of `others`, image by image.

    Args:
        scores: of the model.
        others: of the other models, by name, on the same images.
        metric: one of METRICS.
        seed: of the permutation test.

    Raises:
        LightsegError: another model has other images, or fewer than two images have a score of both.
        ValueError: unknown metric.
    """
    look_up_option(metric, METRICS)
    pairs = {name: _paired(name, scores, other, metric) for name, other in others.items()}
    wilcoxon = {name: paired_wilcoxon(*pair) for name, pair in pairs.items()}
    permutation = {name: paired_permutation(*pair, seed=seed) for name, pair in pairs.items()}
    adjusted = [holm([test.p_value for test in tests.values()]) for tests in (wilcoxon, permutation)]
    return [
        Comparison(
            other=name,
            metric=metric,
            mean=float(pair[0].mean()),
            other_mean=float(pair[1].mean()),
            left_out=len(scores.per_image) - len(pair[0]),
            wilcoxon=wilcoxon[name],
            permutation=permutation[name],
            wilcoxon_adjusted=float(adjusted[0][place]),
            permutation_adjusted=float(adjusted[1][place]),
        )
        for place, (name, pair) in enumerate(pairs.items())
    ]


def _paired(
    name: str, scores: BinaryScores, other: BinaryScores, metric: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both models' scores of the images where neither is NaN."""
    if scores.per_image.keys() != other.per_image.keys():
        raise LightsegError(f"{name} was scored on other images: compare models on the same ones")
    values = np.array([[of.per_image[case][metric] for case in scores.per_image] for of in (scores, other)])
    kept = values[:, ~np.isnan(values).any(axis=0)]
    if kept.shape[1] < 2:
        raise LightsegError(
            f"{name}: {kept.shape[1]} image has a {metric} of both models; a comparison needs 2 or more"
        )
    return kept[0], kept[1]
