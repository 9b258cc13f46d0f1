"""Intervals, paired tests, Holm and means over seeds: by hand, against SciPy, by simulation, and as their page says."""

import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monai_lightseg.metrics import (
    SMALL_SAMPLE,
    Interval,
    coverage_warning,
    holm,
    mean_interval,
    over_seeds,
    paired_permutation,
    paired_wilcoxon,
)
from tests.pages import run_examples

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "statistics.md").read_text()
RECORD = json.loads((ROOT / "benchmarks" / "results" / "interval_coverage.json").read_text())
METHODS = ("t", "logit", "bootstrap", "bca")
SCORES = np.random.default_rng(0).beta(18, 2, 40)
# Halves, quarters and the like: sums are exact, so that ties are ties.
DIFFERENCES = np.array([0.25, 0.5, -0.125, 1.0, 0.75, 0.375])
UNIT = st.floats(0, 1)
# Scores are ratios of counts; closer to each other than this, their spread is lost to rounding.
SCORE = st.integers(0, 10**6).map(lambda count: count / 10**6)


def test_t_interval_is_scipys():
    interval = mean_interval(SCORES, level=0.9)
    expected = stats.ttest_1samp(SCORES, 0).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert interval.estimate == SCORES.mean()
    assert (interval.level, interval.n, interval.method) == (0.9, 40, "t")


def test_t_interval_by_hand():
    # Mean 0.5, standard deviation 0.5; t of 2 degrees of freedom at 97.5 % is 4.302653 in every table.
    interval = mean_interval([0.0, 0.5, 1.0])
    half = 4.302653 * 0.5 / math.sqrt(3)
    assert (interval.low, interval.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_logit_interval_by_hand():
    # Mean 0.8, of which the logit is log 4 and its slope 1 / 0.16; standard deviation 0.2.
    interval = mean_interval([0.6, 0.8, 1.0], method="logit")
    half = 4.302653 * 0.2 / math.sqrt(3) / 0.16
    ends = [1 / (1 + math.exp(-(math.log(4) + side * half))) for side in (-1, 1)]
    assert (interval.low, interval.high) == pytest.approx(ends, abs=1e-7)


@pytest.mark.parametrize(("method", "name"), [("bootstrap", "percentile"), ("bca", "BCa")])
def test_bootstraps_are_scipys(method, name):
    ours = mean_interval(SCORES, method=method, level=0.9, resamples=500, seed=3)
    options = {"confidence_level": 0.9, "n_resamples": 500, "rng": np.random.default_rng(3), "method": name}
    expected = stats.bootstrap((SCORES,), np.mean, **options).confidence_interval
    assert (ours.low, ours.high) == (expected.low, expected.high)
    assert ours == mean_interval(SCORES, method=method, level=0.9, resamples=500, seed=3)
    assert ours != mean_interval(SCORES, method=method, level=0.9, resamples=500, seed=4)


def test_percentiles_are_of_means():
    # Of two values the resampled mean is 0, 0.5 or 1 with 1/4, 1/2, 1/4, so its 10 % and 90 % are 0 and 1.
    interval = mean_interval([0.0, 1.0], method="bootstrap", level=0.8)
    assert (interval.low, interval.estimate, interval.high) == (0, 0.5, 1)


@pytest.mark.parametrize("method", ["bootstrap", "bca"])
def test_batches_change_nothing(method, monkeypatch):
    whole = mean_interval(SCORES, method=method, resamples=100)
    monkeypatch.setattr("monai_lightseg.metrics.statistics.LARGEST_BATCH", 7 * len(SCORES))
    assert mean_interval(SCORES, method=method, resamples=100) == whole


@settings(max_examples=60, deadline=None)
@given(st.lists(SCORE, min_size=2, max_size=30), st.sampled_from(METHODS))
def test_ends_lie_around_the_mean(values, method):
    interval = mean_interval(values, method=method, resamples=200)
    assert interval.low <= interval.estimate + 1e-12 and interval.estimate - 1e-12 <= interval.high
    if method != "t":
        assert interval.low >= 0 and interval.high <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(SCORE, min_size=3, max_size=30, unique=True), st.sampled_from(("t", "logit")))
def test_a_higher_level_is_wider(values, method):
    narrow, wide = (mean_interval(values, method=method, level=level) for level in (0.8, 0.99))
    assert wide.low <= narrow.low and narrow.high <= wide.high


@settings(max_examples=30, deadline=None)
@given(st.lists(SCORE, min_size=2, max_size=30))
def test_logit_mirrors(values):
    interval = mean_interval(values, method="logit")
    mirrored = mean_interval(1 - np.array(values), method="logit")
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - interval.high, 1 - interval.low), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_equal_values_have_no_width(method, value):
    interval = mean_interval([value] * 7, method=method)
    assert (interval.low, interval.estimate, interval.high) == pytest.approx((value, value, value), abs=1e-15)


def test_a_mean_that_rounds_to_one():
    interval = mean_interval([1.0] * 999 + [np.nextafter(1, 0)], method="logit")
    assert (interval.low, interval.estimate, interval.high) == (1, 1, 1)


@pytest.mark.parametrize("method", METHODS)
def test_one_value_has_no_interval(method):
    interval = mean_interval([0.5], method=method)
    assert interval.estimate == 0.5 and interval.n == 1
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_ends_in_words():
    assert Interval(0.83, 0.81916, 0.85014, 0.95, 9, "t").ends == "0.8192 to 0.8501"
    assert mean_interval([0.5]).ends == "not known"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "flat list of one or more"),
        ([[0.5, 0.6]], {}, r"shape \(1, 2\)"),
        ([0.5, math.nan, 1.0, math.nan], {}, "2 of 4 are NaN or infinite: drop"),
        ([0.5, math.inf], {}, "1 of 2 are NaN or infinite"),
        ([0.5, 1.5], {"method": "logit"}, r'run from 0.5 to 1.5: use "t"'),
        ([0.5, -0.5], {"method": "logit"}, "run from -0.5 to 0.5"),
        ([0.5, 0.6], {"method": "median"}, "median"),
        ([0.5, 0.6], {"level": 95}, "between 0 and 1, got 95"),
        ([0.5, 0.6], {"resamples": 0}, "1 or more, got 0"),
    ],
)
def test_interval_refuses(values, options, message):
    with pytest.raises(ValueError, match=message):
        mean_interval(values, **options)


def test_wilcoxon_by_hand():
    # Absolute ranks of the six differences: 2, 4, 1, 6, 5, 3; the rank sum of the one negative difference is 1. Of 64
    # sign patterns, 2 give a sum of 1 or less on the negative side, and 2 on the positive.
    test = paired_wilcoxon(DIFFERENCES + 1, np.ones(6))
    assert test.p_value == 4 / 64
    assert test.effect == pytest.approx((20 - 1) / 21, rel=1e-12)
    assert (test.n, test.zeros, test.effect_name) == (6, 0, "rank-biserial correlation")


def test_zeros_of_wilcoxon():
    # Ranks with the zeros: 1.5, 1.5, 3, 4, 5; without: 1, 2, 3. The negative difference is the smallest.
    a, b = [1.0, 1.0, 1.0, 2.0, 3.0], [1.0, 1.0, 1.5, 1.0, 0.0]
    pratt, wilcox = (paired_wilcoxon(a, b, zero_method=method) for method in ("pratt", "wilcox"))
    assert (pratt.n, pratt.zeros) == (5, 2)
    assert pratt.effect == (4 + 5 - 3) / 15
    assert wilcox.effect == (2 + 3 - 1) / 6
    # Of 8 sign patterns of the three others, these have a rank sum as low on either side: none, and the smallest.
    assert pratt.p_value == wilcox.p_value == 4 / 8


@pytest.mark.parametrize("zero_method", ["pratt", "wilcox"])
def test_wilcoxon_is_scipys(zero_method):
    rng = np.random.default_rng(1)
    a, b = rng.beta(18, 2, (2, 80)).round(1)
    test = paired_wilcoxon(a, b, zero_method=zero_method)
    assert test.p_value == stats.wilcoxon(a - b, zero_method=zero_method).pvalue
    assert test.zeros == np.count_nonzero(a == b) > 0


def test_permutation_is_the_enumeration():
    test = paired_permutation(DIFFERENCES, np.zeros(6))
    means = [np.mean(DIFFERENCES * signs) for signs in itertools.product((1, -1), repeat=6)]
    assert test.p_value == np.mean(np.abs(means) >= DIFFERENCES.mean())
    assert test.effect == pytest.approx(DIFFERENCES.mean() / DIFFERENCES.std(ddof=1), rel=1e-12)
    assert (test.n, test.effect_name) == (6, "Cohen's d_z")


def test_permutation_by_hand():
    # Only all signs as they are, or all turned, have a mean as far from zero: 2 of 2^10.
    assert paired_permutation(np.arange(1, 11), np.zeros(10)).p_value == 2 / 1024


def test_random_permutations_never_give_zero():
    a, b = np.full(60, 0.9), np.linspace(0.1, 0.2, 60)
    assert paired_permutation(a, b, resamples=999).p_value == 1 / 1000
    assert paired_permutation(a, b).p_value == 1 / 10_000


def test_random_permutations_are_near_the_exact_share():
    a, b = np.random.default_rng(4).beta(18, 2, (2, 12))
    exact = paired_permutation(a, b)
    assert 0.05 < exact.p_value < 0.95
    # 4095 is one short of all 2^12. Five standard errors.
    random = paired_permutation(a, b, resamples=4095)
    assert random.p_value != exact.p_value
    assert random.p_value == pytest.approx(exact.p_value, abs=5 * math.sqrt(0.25 / 4096))
    assert (
        random == paired_permutation(a, b, resamples=4095, seed=0) != paired_permutation(a, b, resamples=4095, seed=1)
    )


def test_equal_differences_have_an_infinite_effect():
    # The standard deviation of these rounds to a number above zero.
    assert paired_permutation([0.1] * 3, [0.0] * 3).effect == math.inf
    assert paired_permutation([0.0] * 3, [0.1] * 3).effect == -math.inf


@pytest.mark.parametrize("compare", [paired_wilcoxon, paired_permutation])
@pytest.mark.parametrize("n", [2, 5, 60])
def test_equal_scores_are_no_difference(compare, n):
    test = compare(SCORES[:n], SCORES[:n])
    assert (test.p_value, test.effect, test.zeros) == (1, 0, len(SCORES[:n]))
    assert (test.difference.estimate, test.difference.low, test.difference.high) == (0, 0, 0)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(SCORE, SCORE), min_size=2, max_size=9), st.sampled_from([paired_wilcoxon, paired_permutation])
)
def test_swapped_models_swap_the_sign(pairs, compare):
    a, b = np.array(pairs).T
    there, back = compare(a, b), compare(b, a)
    assert 0 < there.p_value <= 1
    assert there.p_value == pytest.approx(back.p_value, abs=1e-12)
    assert there.effect == -back.effect
    assert there.difference.estimate == -back.difference.estimate
    assert there.difference == mean_interval(a - b)


@pytest.mark.parametrize("compare", [paired_wilcoxon, paired_permutation])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], [], "a: give a flat list of one or more"),
        ([0.5], [0.6], "one score each"),
        ([0.5, 0.6], [0.5, 0.6, 0.7], "a has 2 scores, b 3"),
        ([0.5, 0.6], [0.5, math.nan], "b: 1 of 2 are NaN"),
    ],
)
def test_tests_refuse(compare, a, b, message):
    with pytest.raises(ValueError, match=message):
        compare(a, b)


def test_tests_refuse_other_arguments():
    with pytest.raises(ValueError, match="zsplit"):
        paired_wilcoxon(SCORES, SCORES, zero_method="zsplit")
    with pytest.raises(ValueError, match="resamples must be 1 or more"):
        paired_permutation(SCORES, SCORES, resamples=0)


def test_holm_by_hand():
    # 3 x 0.01; 2 x 0.04, which is more than 1 x 0.06, so that both get 0.08.
    assert holm([0.04, 0.01, 0.06]).tolist() == pytest.approx([0.08, 0.03, 0.08], rel=1e-12)
    assert holm([0.5, 0.5]).tolist() == [1, 1]
    assert holm([0.03]).tolist() == [0.03]
    assert holm([]).tolist() == []


@settings(max_examples=100, deadline=None)
@given(st.lists(UNIT, min_size=1, max_size=6))
def test_holm_closes_bonferroni(p_values):
    """Holm is the closed test of Bonferroni: the largest Bonferroni p of all sets of hypotheses that hold this one."""
    sets = [s for k in range(1, len(p_values) + 1) for s in itertools.combinations(range(len(p_values)), k)]
    bonferroni = {chosen: min(1, len(chosen) * min(p_values[i] for i in chosen)) for chosen in sets}
    expected = [max(p for chosen, p in bonferroni.items() if i in chosen) for i in range(len(p_values))]
    assert holm(p_values).tolist() == pytest.approx(expected, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(UNIT, min_size=1, max_size=30), st.randoms(use_true_random=False))
def test_holm_keeps_order_and_places(p_values, random):
    adjusted = holm(p_values)
    order = np.argsort(p_values)
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= p_values).all() and (adjusted <= 1).all()
    places = random.sample(range(len(p_values)), len(p_values))
    assert holm(np.array(p_values)[places]).tolist() == adjusted[places].tolist()


@pytest.mark.parametrize("p_values", [[0.5, math.nan], [1.5], [-0.1], [[0.5]]])
def test_holm_refuses(p_values):
    with pytest.raises(ValueError, match="p_values must be a flat list of numbers from 0 to 1"):
        holm(p_values)


def test_over_seeds_by_hand():
    seeds = over_seeds([0.5, 0.75, 1.0])
    assert (seeds.n, seeds.mean, seeds.deviation, seeds.smallest, seeds.largest) == (3, 0.75, 0.25, 0.5, 1)
    assert seeds.interval == mean_interval([0.5, 0.75, 1.0])
    # Each seed counts once, however many images it has.
    assert over_seeds({7: [0.25, 0.75], 8: [0.75], 9: [1.0, 1.0, 1.0]}) == seeds


def test_one_seed_has_no_spread():
    seeds = over_seeds({0: [0.5, 0.75]})
    assert (seeds.n, seeds.mean, seeds.smallest, seeds.largest) == (1, 0.625, 0.625, 0.625)
    assert math.isnan(seeds.deviation) and math.isnan(seeds.interval.low) and math.isnan(seeds.interval.high)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "scores over seeds: give"),
        ([], "scores over seeds: give"),
        ({3: [0.5], 4: []}, "scores of seed 4: give"),
        ({3: [0.5, math.nan]}, "scores of seed 3: 1 of 2 are NaN"),
    ],
)
def test_over_seeds_refuses(scores, message):
    with pytest.raises(ValueError, match=message):
        over_seeds(scores)


def held(draw, truth, n, method, simulations):
    rng = np.random.default_rng(n)
    intervals = [mean_interval(draw(rng, n), method=method) for _ in range(simulations)]
    return np.mean([interval.low <= truth <= interval.high for interval in intervals])


@pytest.mark.parametrize("method", ["t", "logit"])
def test_coverage_on_symmetric_scores(method):
    share = held(lambda rng, n: 0.6 + 0.4 * rng.beta(4, 4, n), 0.8, 20, method, 2000)
    # Four standard errors of a share of 2000; the benchmark measures more closely.
    assert share == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2000))


def test_coverage_on_skewed_scores_is_that_of_the_benchmark():
    def draw(rng, n):
        return np.where(rng.random(n) < 0.93, rng.beta(18, 2, n), rng.beta(1.5, 3, n))

    share = held(draw, 0.93 * 0.9 + 0.07 / 3, 50, "t", 2000)
    expected = RECORD["coverage"]["skewed"]["t"]["50"]["share"]
    # Four standard errors, the benchmark's own beside them.
    assert share == pytest.approx(expected, abs=4 * math.sqrt(0.91 * 0.09 * (1 / 2000 + 1 / 20_000)))
    assert share < 0.94


def test_false_alarms_are_as_few_as_they_say():
    rng = np.random.default_rng(5)
    pairs = rng.beta(18, 2, (400, 1, 30)) * rng.beta(9, 1, (400, 2, 30))
    for compare in (paired_wilcoxon, lambda a, b: paired_permutation(a, b, resamples=199)):
        share = np.mean([compare(a, b).p_value <= 0.05 for a, b in pairs])
        # Four standard errors; the models draw from one distribution.
        assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 400))


def percent_of(share):
    return f"{100 * share:.1f} %"


def test_recorded_figures_meet_the_bars():
    for method in ("t", "logit"):
        row = RECORD["coverage"]["skewed"][method]
        assert all(0.93 <= row[n]["share"] <= 0.97 for n in ("200", "500"))
    assert str(SMALL_SAMPLE) in row
    # Pooled scores and their differences take more images.
    for row in RECORD["coverage"]["pooled"].values():
        assert 0.91 <= row["200"]["share"] <= 0.97 and 0.93 <= row["500"]["share"] <= 0.97
    assert all(0.93 <= cell["share"] <= 0.97 for cell in RECORD["coverage"]["symmetric"]["t"].values())
    for name, row in RECORD["false_alarms"].items():
        most = {"50": 0.1, "200": 0.09, "520": 0.07} if "pooled" in name else dict.fromkeys(row, 0.07)
        assert all(0.03 <= cell["share"] <= most[n] for n, cell in row.items())


def test_warning_says_what_was_measured():
    text = coverage_warning(37)
    assert text.startswith("37 images") and "\n" not in text
    images, of_means, of_pooled = (
        re.findall(r"\d+", part) for part in re.split("images: |; ", text.split("simulated")[1])
    )
    assert images == ["20", "50", "100"]
    means, pooled = RECORD["coverage"]["skewed"]["logit"], RECORD["coverage"]["pooled"].values()
    assert of_means == [f"{100 * means[n]['share']:.0f}" for n in images]
    shares = [[row[n]["share"] for row in pooled] for n in images]
    assert of_pooled == [f"{100 * end(of):.0f}" for of in shares for end in (min, max)]


def test_warning_below_two_images_and_from_enough_on():
    assert (
        coverage_warning(0)
        == coverage_warning(1)
        == "an interval takes two images or more: one says nothing about spread"
    )
    assert coverage_warning(2) is not None and coverage_warning(2).startswith("2 images are few")
    assert coverage_warning(SMALL_SAMPLE - 1) is not None
    assert coverage_warning(SMALL_SAMPLE) is None


def test_examples_of_the_page():
    run_examples("statistics.md")


def test_tables_of_the_page_are_those_of_the_benchmark():
    rows = {f"{name}, {method}": row for name, of in RECORD["coverage"].items() for method, row in of.items()}
    rows |= RECORD["false_alarms"]
    shares = {name: [percent_of(cell["share"]) for cell in row.values()] for name, row in rows.items()}
    lines = [" | ".join([f"| {name}", *of]) for name, of in shares.items()]
    shown = re.findall(r"^(\| .*%) \|$", PAGE, re.MULTILINE)
    assert shown == lines
    few = RECORD["coverage"]["skewed"]["t"]["50"]
    assert f"{percent_of(few['too_high'])}\nof the t intervals lie above the true mean" in PAGE
    assert f"and {percent_of(1 - few['share'] - few['too_high'])} below" in PAGE
    assert all(f"{dice:.3f})" in PAGE for dice in RECORD["distributions"]["pooled"]["true_dice"].values())
    too_high = RECORD["coverage"]["pooled"]["large worse"]["20"]["too_high"]
    assert f"worse, {100 * too_high:.0f} % of the intervals" in PAGE
