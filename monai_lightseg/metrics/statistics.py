"""Intervals, paired tests and means over seeds of scores, one score per image. Which to use: docs/statistics.md."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from monai.utils import look_up_option
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from scipy.stats import bootstrap, permutation_test, rankdata, t, wilcoxon

__all__ = [
    "SMALL_SAMPLE",
    "Interval",
    "IntervalMethod",
    "PairedTest",
    "SeedScores",
    "ZeroMethod",
    "coverage_warning",
    "holm",
    "mean_interval",
    "over_seeds",
    "paired_permutation",
    "paired_wilcoxon",
    "percentile_interval",
    "resampled_sums",
]

IntervalMethod = Literal["t", "logit", "bootstrap", "bca"]
ZeroMethod = Literal["pratt", "wilcox"]

# Images below which intervals of skewed scores cover clearly less than they say (benchmarks/interval_coverage.py).
SMALL_SAMPLE = 200

SCIPY_BOOTSTRAPS = {"bootstrap": "percentile", "bca": "BCa"}
# Numbers that SciPy holds at a time while it resamples: of more, it is slower.
LARGEST_BATCH = 300_000


@dataclass(frozen=True)
class Interval:
    """A mean or a pooled score, and its confidence interval.

    Attributes:
        estimate: the mean of the values, or the pooled score.
        low: lower end; NaN for one value, which says nothing about spread.
        high: upper end; NaN for one value.
        level: the share of such intervals that is to hold the true mean.
        n: number of values.
        method: how the ends were found.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    method: IntervalMethod

    @property
    def ends(self) -> str:
        """Both ends to four places, such as "0.8192 to 0.8501"; "not known" for one value."""
        return "not known" if math.isnan(self.low) else f"{self.low:.4f} to {self.high:.4f}"


@dataclass(frozen=True)
class PairedTest:
    """Whether two models score differently on the same images.

    Attributes:
        test: its name.
        n: number of images.
        zeros: images where both scores are equal.
        difference: mean of a - b and its t interval.
        p_value: two-sided.
        effect: effect size, positive where a scores higher.
        effect_name: which effect size.
    """

    test: str
    n: int
    zeros: int
    difference: Interval
    p_value: float
    effect: float
    effect_name: str


@dataclass(frozen=True)
class SeedScores:
    """Scores of one model trained with several seeds; each seed counts by the mean of its scores.

    Attributes:
        n: number of seeds.
        mean: over seeds.
        deviation: standard deviation over seeds, with n - 1; NaN for one seed, which has no spread.
        smallest: of the seeds' means.
        largest: of the seeds' means.
        interval: t interval of the mean over seeds; its ends are NaN for one seed.
    """

    n: int
    mean: float
    deviation: float
    smallest: float
    largest: float
    interval: Interval


def mean_interval(
    values: ArrayLike, *, level: float = 0.95, method: IntervalMethod = "t", resamples: int = 9999, seed: int = 0
) -> Interval:
    """Confidence interval of the mean.

    Values that are all equal give an interval of no width: the sample shows no spread, which does not prove that there
    is none.

    Args:
        values: (n,) finite numbers. Drop NaN first, and say how many.
        level: between 0 and 1.
        method: "t"; "logit": t on the logit scale of the mean by the delta method, for scores in [0, 1], and its ends
            stay there; "bootstrap": percentiles of resampled means; "bca": bias-corrected and accelerated bootstrap.
        resamples: of the bootstraps.
        seed: of the bootstraps.

    Raises:
        ValueError: no values, NaN or infinite ones, "logit" with values outside [0, 1], or another argument out of
            range.
    """
    look_up_option(method, get_args(IntervalMethod))
    _check_level(level)
    _check_resamples(resamples)
    sample = _as_sample(values, "values")
    if method == "logit" and (sample.min() < 0 or sample.max() > 1):
        raise ValueError(
            f'method "logit" is for scores in [0, 1], and these run from {sample.min():g} to {sample.max():g}: use "t"'
        )
    n, mean = len(sample), float(sample.mean())
    if n == 1:
        low = high = math.nan
    # Values next to 0 or 1 can round to a mean that has no logit.
    elif np.ptp(sample) == 0 or (method == "logit" and mean in (0, 1)):
        low = high = mean
    elif method in SCIPY_BOOTSTRAPS:
        low, high = bootstrap(
            (sample,),
            np.mean,
            method=SCIPY_BOOTSTRAPS[method],
            confidence_level=level,
            n_resamples=resamples,
            batch=_batch(n),
            rng=np.random.default_rng(seed),
        ).confidence_interval
    else:
        error = sample.std(ddof=1) / math.sqrt(n)
        if method == "t":
            low, high = t.interval(level, n - 1, loc=mean, scale=error)
        else:
            low, high = expit(t.interval(level, n - 1, loc=logit(mean), scale=error / (mean * (1 - mean))))
    return Interval(mean, float(low), float(high), level, n, method)


def resampled_sums(values: ArrayLike, *, resamples: int = 9999, seed: int = 0) -> NDArray[np.float64]:
    """Sums over resampled images: what pooled scores are computed of, as often as the bootstrap draws images.

    Images are drawn whole, so pixels of one image stay together. The same n, resamples and seed draw the same images,
    so that two models can be compared.

    Args:
        values: (n, k), k counts per image.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        (resamples, k).

    Raises:
        ValueError: values are not a table with a row, or resamples is below 1.
    """
    _check_resamples(resamples)
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not len(table):
        raise ValueError(f"values must be a table with a row per image, got an array of shape {table.shape}")
    n, rng = len(table), np.random.default_rng(seed)
    sums = np.empty((resamples, table.shape[1]))
    for start in range(0, resamples, _batch(n)):
        part = sums[start : start + _batch(n)]
        # How often each image is drawn, (resamples of this part, n).
        part[:] = rng.multinomial(n, np.full(n, 1 / n), size=len(part)) @ table
    return sums


def percentile_interval(estimate: float, resampled: ArrayLike, *, n: int, level: float = 0.95) -> Interval:
    """Interval between percentiles of a resampled score; resamples where it does not exist (NaN) are passed over.

    Args:
        estimate: the score.
        resampled: (resamples,) the score of each resample.
        n: number of images; for one the ends are NaN, as for a score that is NaN.
        level: between 0 and 1.

    Raises:
        ValueError: level is out of range.
    """
    _check_level(level)
    low, high = (math.nan, math.nan)
    if n > 1 and not math.isnan(estimate):
        low, high = np.nanquantile(np.asarray(resampled), [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), level, n, "bootstrap")


def paired_wilcoxon(
    a: ArrayLike, b: ArrayLike, *, zero_method: ZeroMethod = "pratt", level: float = 0.95
) -> PairedTest:
    """Wilcoxon's signed-rank test: whether the differences are symmetric about zero.

    SciPy computes exact p values for up to 50 images without equal differences, and for up to 13 with, else normal
    ones. The effect size is the matched-pairs rank-biserial correlation: the rank sum of positive differences less that
    of negative ones, over the sum of all ranks.

    Args:
        a: (n,) scores of one model, finite.
        b: (n,) scores of the other on the same images.
        zero_method: differences of zero are ranked and then left out of both rank sums ("pratt"), so that they shrink
            the effect, or removed before ranking ("wilcox").
        level: of the interval of the mean difference.

    Raises:
        ValueError: fewer than two images, different lengths, NaN or infinite scores, unknown zero_method.
    """
    look_up_option(zero_method, get_args(ZeroMethod))
    differences = _differences(a, b)
    ranked = differences[differences != 0] if zero_method == "wilcox" else differences
    p_value, effect = 1.0, 0.0
    if differences.any():
        p_value = wilcoxon(differences, zero_method=zero_method).pvalue
        ranks = rankdata(np.abs(ranked))
        effect = np.sign(ranked) @ ranks / ranks.sum()
    return _result("Wilcoxon signed-rank", differences, level, p_value, effect, "rank-biserial correlation")


def paired_permutation(
    a: ArrayLike, b: ArrayLike, *, resamples: int = 9999, seed: int = 0, level: float = 0.95
) -> PairedTest:
    """Sign-flip permutation test of the mean difference.

    All 2^n ways to swap the models within images are tried where these are no more than `resamples`; p is then the
    share whose mean difference is at least as far from zero. Else p is (b + 1) / (resamples + 1) with b such random
    ones, so it is never 0. The effect size is Cohen's d_z: mean difference over the standard deviation (n - 1) of the
    differences; infinite where they are all equal and not zero.

    Args:
        a: (n,) scores of one model, finite.
        b: (n,) scores of the other on the same images.
        resamples: random sign flips.
        seed: of the sign flips.
        level: of the interval of the mean difference.

    Raises:
        ValueError: fewer than two images, different lengths, NaN or infinite scores, resamples below 1.
    """
    _check_resamples(resamples)
    differences = _differences(a, b)
    p_value, effect = 1.0, 0.0
    if differences.any():
        p_value = permutation_test(
            (differences,),
            _distance_from_zero,
            permutation_type="samples",
            alternative="greater",
            n_resamples=resamples,
            vectorized=True,
            batch=_batch(len(differences)),
            rng=np.random.default_rng(seed),
        ).pvalue
        mean = differences.mean()
        effect = math.copysign(math.inf, mean) if np.ptp(differences) == 0 else mean / differences.std(ddof=1)
    return _result("sign-flip permutation", differences, level, p_value, effect, "Cohen's d_z")


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's adjusted p values, (m,), in the order given: reject those at or below 0.05 for a family-wise error of 5 %.

    Args:
        p_values: (m,) of all comparisons that were made.

    Raises:
        ValueError: not a flat list of numbers from 0 to 1.
    """
    given = np.asarray(p_values, dtype=np.float64)
    if given.ndim != 1 or not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p_values must be a flat list of numbers from 0 to 1, got {p_values!r}")
    order = given.argsort()
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)), 1)
    return adjusted


def over_seeds(scores: Mapping[int, ArrayLike] | Sequence[float], *, level: float = 0.95) -> SeedScores:
    """Mean and spread over trainings that differ in their seed.

    Args:
        scores: per seed, its scores (one per image, finite); or the mean score of each seed.
        level: of the interval.

    Raises:
        ValueError: no seeds, no scores of a seed, or NaN or infinite ones.
    """
    if isinstance(scores, Mapping):
        scores = [float(_as_sample(values, f"scores of seed {seed}").mean()) for seed, values in scores.items()]
    means = _as_sample(scores, "scores over seeds")
    interval = mean_interval(means, level=level, method="t")
    deviation = float(means.std(ddof=1)) if len(means) > 1 else math.nan
    return SeedScores(len(means), interval.estimate, deviation, float(means.min()), float(means.max()), interval)


def coverage_warning(n: int) -> str | None:
    """What to print beside a 95 % interval of n images; None from SMALL_SAMPLE on."""
    if n >= SMALL_SAMPLE:
        return None
    if n < 2:
        return "an interval takes two images or more: one says nothing about spread"
    return (
        f"{n} images are few: 95 % intervals of skewed scores hold the true value less often than they say (simulated "
        "with 20, 50 and 100 images: means 83, 91 and 93 %; pooled Dice 73 to 88, 85 to 91 and 91 to 92 %)"
    )


def _as_sample(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """(n,) finite numbers, n > 0."""
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ValueError(f"{name}: give a flat list of one or more numbers, got an array of shape {sample.shape}")
    finite = np.isfinite(sample)
    if not finite.all():
        raise ValueError(
            f"{name}: {np.count_nonzero(~finite)} of {len(sample)} are NaN or infinite: drop these images first, and "
            "report how many"
        )
    return sample


def _differences(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """Of a to b, (n,) with n > 1."""
    one, other = _as_sample(a, "a"), _as_sample(b, "b")
    if len(one) != len(other):
        raise ValueError(f"a has {len(one)} scores, b {len(other)}: give the scores of the same images in one order")
    if len(one) == 1:
        raise ValueError("a and b hold one score each: a paired test needs two images or more")
    return one - other


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")


def _check_resamples(resamples: int) -> None:
    if resamples < 1:
        raise ValueError(f"resamples must be 1 or more, got {resamples}")


def _batch(n: int) -> int:
    """Resamples of n values that SciPy may hold at a time."""
    return max(1, LARGEST_BATCH // n)


def _distance_from_zero(samples: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    return np.abs(samples.mean(axis))


def _result(
    test: str, differences: NDArray[np.float64], level: float, p_value: float, effect: float, effect_name: str
) -> PairedTest:
    return PairedTest(
        test=test,
        n=len(differences),
        zeros=int(np.count_nonzero(differences == 0)),
        difference=mean_interval(differences, level=level, method="t"),
        p_value=float(p_value),
        effect=float(effect),
        effect_name=effect_name,
    )
