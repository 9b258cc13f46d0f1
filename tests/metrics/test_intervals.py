import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import (
    METRICS,
    POOLED_METRICS,
    BinaryScores,
    mean_interval,
    percentile_interval,
    pooled_difference,
    resampled_sums,
    score_binary_masks,
    score_intervals,
)
from monai_lightseg.metrics.confusion import COUNTS, confusion_scores

BATCH = "monai_lightseg.metrics.statistics.LARGEST_BATCH"


def scored(truths: np.ndarray, wrong: np.ndarray) -> BinaryScores:
    """Scores of predictions that differ from the truth where `wrong` is true, both (images, H, W)."""
    pairs = zip(truths, wrong, strict=True)
    return score_binary_masks([(f"case_{i}", truth ^ flip, truth) for i, (truth, flip) in enumerate(pairs)])


def models(n: int) -> tuple[BinaryScores, BinaryScores, BinaryScores]:
    """Of three models; the second errs where the first does and in more places, the third on its own."""
    rng = np.random.default_rng(n)
    truths = rng.random((n, 16, 16)) < rng.uniform(0.05, 0.6, (n, 1, 1))
    noise, other_noise = rng.random((2, n, 16, 16))
    rate, other_rate = rng.beta(1, 8, (2, n, 1, 1))
    return tuple(scored(truths, wrong) for wrong in (noise < rate, noise < 1.2 * rate, other_noise < other_rate))


def counts_of(scores: BinaryScores) -> np.ndarray:
    return np.array([[of[name] for name in COUNTS] for of in scores.counts.values()], dtype=float)


def dice_of(tp: np.ndarray, fp: np.ndarray, tn: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return 2 * tp / (2 * tp + fp + fn)


def mean_iou_of(tp: np.ndarray, fp: np.ndarray, tn: np.ndarray, fn: np.ndarray) -> np.ndarray:
    return (tp / (tp + fp + fn) + tn / (tn + fp + fn)) / 2


ONE, WORSE, APART = models(80)
EMPTY = np.zeros((3, 4, 4), bool)


def scipys(columns: np.ndarray, score: Callable[..., np.ndarray]) -> tuple[float, float]:
    """Ends by SciPy's paired bootstrap of the sums of these columns."""
    return stats.bootstrap(
        tuple(columns.T),
        lambda *of, axis: score(*(values.sum(axis) for values in of)),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval


def test_sums_are_of_whole_images_drawn_with_replacement() -> None:
    # Powers of 4 show in the sum how often each of three images was drawn.
    sums = resampled_sums([[1, 1], [4, 1], [16, 1]], resamples=2000, seed=1)
    assert sums.shape == (2000, 2) and (sums[:, 1] == 3).all()
    drawn = np.stack([sums[:, 0] // base % 4 for base in (1, 4, 16)])
    assert (drawn.sum(axis=0) == 3).all()
    # Each image once in 3! / 27 of the resamples, one image three times in 3 / 27; four standard errors.
    assert np.mean(drawn.max(axis=0) == 1) == pytest.approx(6 / 27, abs=0.037)
    assert np.mean(drawn.max(axis=0) == 3) == pytest.approx(3 / 27, abs=0.028)


def test_the_same_seed_draws_the_same_images() -> None:
    a, b = np.random.default_rng(0).integers(0, 1000, (2, 30, 2))
    both = resampled_sums(np.hstack([a, b]), resamples=50, seed=3)
    assert (both == np.hstack([resampled_sums(of, resamples=50, seed=3) for of in (a, b)])).all()
    assert (both[:, :2] != resampled_sums(a, resamples=50, seed=4)).any()


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 2, 2)])
def test_sums_refuse_what_is_no_table(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="values must be a table with a row per image"):
        resampled_sums(np.ones(shape))


def test_sums_refuse_no_resamples() -> None:
    with pytest.raises(ValueError, match="resamples must be 1 or more, got 0"):
        resampled_sums([[1.0]], resamples=0)


def test_percentiles_by_hand() -> None:
    resampled = np.append(np.linspace(0, 1, 101), [np.nan] * 50)
    interval = percentile_interval(0.4, resampled, n=9, level=0.9)
    assert (interval.low, interval.high) == pytest.approx((0.05, 0.95), abs=1e-12)
    assert (interval.estimate, interval.level, interval.n, interval.method) == (0.4, 0.9, 9, "bootstrap")
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        percentile_interval(0.4, resampled, n=9, level=95)


def test_pooled_intervals_are_scipys() -> None:
    pooled = score_intervals(ONE).pooled
    for name, score in {"dice": dice_of, "mean_iou": mean_iou_of}.items():
        low, high = scipys(counts_of(ONE), score)
        # Two bootstraps of 9999 resamples: an end has a Monte Carlo error of about 1.5 % of the width.
        assert (pooled[name].low, pooled[name].high) == pytest.approx((low, high), abs=0.06 * (high - low))


def test_pooled_difference_is_scipys() -> None:
    interval = pooled_difference(ONE, WORSE)
    columns = np.hstack([counts_of(ONE), counts_of(WORSE)])
    low, high = scipys(columns, lambda *of: dice_of(*of[:4]) - dice_of(*of[4:]))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.06 * (high - low))


def pooled_dice(counts: np.ndarray) -> np.ndarray:
    return confusion_scores(torch.from_numpy(counts))["dice"].numpy()


def drawn_counts(rng: np.random.Generator, n: int) -> np.ndarray:
    """As many false positive as missed pixels, 7 % failed images; large lesions score a little better."""
    dice = np.where(rng.random(n) < 0.93, rng.beta(18, 2, n), rng.beta(1.5, 3, n))
    lesion = rng.integers(100, 20000, n)
    tp = lesion * dice * (0.9 + lesion / 200_000)
    return np.stack([tp, lesion - tp, 60_000 - 2 * lesion + tp, lesion - tp], axis=1)


def test_coverage_with_failures() -> None:
    rng = np.random.default_rng(1)
    true = pooled_dice(drawn_counts(rng, 1_000_000).sum(axis=0, keepdims=True))[0]
    held = {0.8: 0, 0.95: 0}
    for seed in range(400):
        resampled = pooled_dice(resampled_sums(drawn_counts(rng, 200), resamples=499, seed=seed))
        for level in held:
            interval = percentile_interval(0.5, resampled, n=200, level=level)
            held[level] += interval.low <= true <= interval.high
    # Up to 2 points less for the skew, and four standard errors of 400 simulations: 4.4 and 8 points.
    assert 0.95 - 0.064 < held[0.95] / 400 < 0.994
    assert 0.8 - 0.1 < held[0.8] / 400 < 0.88


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    intervals, difference = score_intervals(ONE), pooled_difference(ONE, APART)
    monkeypatch.setattr(BATCH, 80 * 700)
    assert score_intervals(ONE) == intervals
    assert pooled_difference(ONE, APART) == difference


def test_every_score_has_an_interval_around_it() -> None:
    intervals = score_intervals(ONE)
    assert tuple(intervals.pooled) == POOLED_METRICS
    assert tuple(intervals.per_image_mean) == METRICS
    for kind, estimates in ((intervals.pooled, ONE.pooled), (intervals.per_image_mean, ONE.per_image_mean)):
        for name, interval in kind.items():
            assert interval.estimate == pytest.approx(estimates[name], rel=1e-12)
            assert interval.low < interval.estimate < interval.high
            assert interval.n == 80


def test_means_are_on_the_logit_scale_and_distances_are_not() -> None:
    means = score_intervals(ONE).per_image_mean
    for name in METRICS:
        values = [of[name] for of in ONE.per_image.values()]
        assert means[name] == mean_interval(values, method="t" if name == "hd95" else "logit")


def test_means_of_two_images_end_within_the_scale() -> None:
    truths = np.zeros((2, 10, 10), bool)
    truths[:, :6] = True
    wrong = np.zeros_like(truths)
    wrong[0, :4], wrong[1, 0, 0] = True, True
    scores = scored(truths, wrong)
    for name, interval in score_intervals(scores).per_image_mean.items():
        if name == "hd95":
            continue
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1
    # By plain t it does not.
    assert mean_interval([of["dice"] for of in scores.per_image.values()]).high > 1


def test_a_lower_level_is_narrower() -> None:
    narrow, wide = (score_intervals(ONE, level=level) for level in (0.8, 0.95))
    for kind in ("pooled", "per_image_mean"):
        for name, inner in getattr(narrow, kind).items():
            outer = getattr(wide, kind)[name]
            assert (inner.level, outer.level) == (0.8, 0.95)
            assert outer.low < inner.low < inner.high < outer.high
    inner, outer = (pooled_difference(ONE, APART, level=level) for level in (0.8, 0.95))
    assert outer.low < inner.low < inner.high < outer.high


def test_the_seed_is_that_of_the_bootstrap() -> None:
    intervals, other = score_intervals(ONE, seed=1), score_intervals(ONE, seed=2)
    assert intervals == score_intervals(ONE, seed=1)
    assert all(intervals.pooled[name] != other.pooled[name] for name in POOLED_METRICS)
    assert intervals.per_image_mean == other.per_image_mean
    assert pooled_difference(ONE, APART, seed=1) != pooled_difference(ONE, APART, seed=2)


def test_scores_that_do_not_exist_have_no_interval() -> None:
    intervals = score_intervals(scored(EMPTY, EMPTY))
    assert set(intervals.pooled) == {"specificity", "accuracy"}
    assert set(intervals.per_image_mean) == {"specificity", "accuracy"}


def test_one_image_says_nothing_about_spread() -> None:
    one = scored(np.ones((1, 4, 4), bool), np.eye(4, dtype=bool)[None])
    intervals = score_intervals(one)
    for interval in (intervals.pooled["dice"], intervals.per_image_mean["dice"], pooled_difference(one, one)):
        assert interval.n == 1 and np.isnan([interval.low, interval.high]).all() and not np.isnan(interval.estimate)


@pytest.mark.parametrize("metric", POOLED_METRICS)
def test_a_model_does_not_differ_from_itself(metric: str) -> None:
    interval = pooled_difference(ONE, ONE, metric=metric)
    assert (interval.estimate, interval.low, interval.high) == (0, 0, 0)


@pytest.mark.parametrize("metric", POOLED_METRICS)
def test_swapped_models_swap_the_sign(metric: str) -> None:
    there, back = pooled_difference(ONE, APART, metric=metric), pooled_difference(APART, ONE, metric=metric)
    assert there.estimate == ONE.pooled[metric] - APART.pooled[metric] == -back.estimate != 0
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-15)
    assert there.low < there.estimate < there.high


def test_difference_is_paired() -> None:
    def width(scores: BinaryScores, other: BinaryScores) -> float:
        interval = pooled_difference(scores, other)
        return interval.high - interval.low

    def unpaired(scores: BinaryScores, other: BinaryScores) -> float:
        ends = [score_intervals(of).pooled["dice"] for of in (scores, other)]
        return float(np.hypot(*(of.high - of.low for of in ends)))

    # The second model errs where the first does, so most of what moves one moves the other.
    assert width(ONE, WORSE) < 0.5 * unpaired(ONE, WORSE)
    assert pooled_difference(ONE, WORSE).low > 0
    # Errors of the third have nothing to do with the first's: pairing gains little.
    assert width(ONE, APART) > 0.7 * unpaired(ONE, APART)


def test_no_pooled_score_no_difference() -> None:
    silent, alarm = scored(EMPTY, EMPTY), scored(EMPTY, ~EMPTY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = pooled_difference(silent, alarm)
    assert np.isnan([interval.estimate, interval.low, interval.high]).all() and interval.ends == "not known"


def test_difference_refuses() -> None:
    cases = [(name, truth, truth) for name, truth in zip("ab", ~EMPTY, strict=False)]
    scores = score_binary_masks(cases)
    for others in (cases[:1], cases[::-1]):
        with pytest.raises(LightsegError, match="other images, or in another order"):
            pooled_difference(scores, score_binary_masks(others))
    with pytest.raises(ValueError, match="hd95"):
        pooled_difference(scores, scores, metric="hd95")
    with pytest.raises(ValueError, match="between 0 and 1, got 95"):
        pooled_difference(scores, scores, level=95)
