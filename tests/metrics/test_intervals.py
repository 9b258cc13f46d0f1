import numpy as np
import pytest
from scipy.stats import bootstrap

from monai_lightseg.metrics import METRICS, POOLED_METRICS, pooled_interval, score_binary_masks, score_intervals


def sample(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and, of these, right ones; large lesions score better, so the ratio of sums is not the mean ratio."""
    rng = np.random.default_rng(seed)
    below = rng.integers(100, 20000, n)
    return below * np.clip(rng.beta(18, 2, n) * (0.9 + below / 200000), 0, 1), below


def test_against_scipy() -> None:
    above, below = sample(0, 300)
    interval = pooled_interval(above, below)
    assert (interval.n, interval.level, interval.method) == (300, 0.95, "bootstrap")
    assert interval.mean == pytest.approx(above.sum() / below.sum(), rel=1e-12)
    expected = bootstrap(
        (above, below),
        lambda x, y, axis: x.sum(axis) / y.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    # Two bootstraps of 9999 resamples: an end has a Monte Carlo error of about 1.5 % of the width.
    width = expected.high - expected.low
    assert interval.low == pytest.approx(expected.low, abs=0.06 * width)
    assert interval.high == pytest.approx(expected.high, abs=0.06 * width)


def test_coverage() -> None:
    # Ratio of means in the population that `sample` draws from, by one large sample.
    above, below = sample(1, 2_000_000)
    true = above.sum() / below.sum()
    intervals = [pooled_interval(*sample(100 + i, 200), resamples=499) for i in range(400)]
    covered = np.mean([interval.low <= true <= interval.high for interval in intervals])
    # 0.95 less 0.01 for the skew, three standard errors of 400 simulations: 0.033.
    assert 0.905 < covered < 0.985


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    above, below = sample(2, 50)
    whole = pooled_interval(above, below, resamples=1000)
    monkeypatch.setattr("monai_lightseg.metrics.statistics.LARGEST_BATCH", 50 * 300)
    assert pooled_interval(above, below, resamples=1000) == whole


def test_images_without_pixels() -> None:
    interval = pooled_interval([0, 5], [0, 10])
    assert (interval.low, interval.mean, interval.high) == (0.5, 0.5, 0.5)
    one = pooled_interval([5], [10])
    assert np.isnan([one.low, one.high]).all() and one.mean == 0.5


@pytest.mark.parametrize(
    ("above", "below", "message"),
    [
        ([1, 2], [3], "2 numerators and 1 denominators"),
        ([1], [0], "denominators must be 0 or more"),
        ([1, 1], [2, -1], "denominators must be 0 or more"),
        ([float("nan")], [1], "numerators: 1 of 1 are NaN"),
        ([], [], "numerators: give a flat list"),
    ],
)
def test_refused(above: list[float], below: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pooled_interval(above, below)


def test_intervals_of_scores() -> None:
    rng = np.random.default_rng(0)
    masks = [(str(i), *(rng.random((2, 20, 20)) > 0.6).astype(np.uint8)) for i in range(30)]
    scores = score_binary_masks(masks)
    intervals = score_intervals(scores)
    assert set(intervals.pooled) == set(POOLED_METRICS) - {"mean_iou"}
    assert set(intervals.per_image_mean) == set(METRICS)
    for name, interval in intervals.pooled.items():
        assert interval.mean == pytest.approx(scores.pooled[name], rel=1e-12)
        assert interval.low < interval.mean < interval.high
    for name, interval in intervals.per_image_mean.items():
        assert interval.mean == pytest.approx(scores.per_image_mean[name], rel=1e-12)


def test_scores_that_do_not_exist_have_no_interval() -> None:
    empty = np.zeros((4, 4), np.uint8)
    intervals = score_intervals(score_binary_masks([("a", empty, empty), ("b", empty, empty)]))
    assert set(intervals.pooled) == {"specificity", "accuracy"}
    assert "dice" not in intervals.per_image_mean
