"""How often 95 % intervals hold the true mean or pooled score, and how often paired tests find what is not there.

    python benchmarks/interval_coverage.py      # prints, and writes benchmarks/results/interval_coverage.json

Scores are simulated. "skewed": as Dice per image tends to be, most images good and a few failed, a mixture of
93 % Beta(18, 2) and 7 % Beta(1.5, 3). "symmetric": 0.6 + 0.4 Beta(4, 4). `mean_interval` is called on every sample as
a user would, and its ends are compared with the mean of the distribution. All methods see the same samples. A share of
k simulations has a standard error of its own, which is printed.

"pooled": images of one size with a skewed Dice each and a lesion of exp(N(log 0.13, 1.2)) of the image, 0.5 to 90 %,
which is near the masks of ISIC 2018. As many pixels are marked wrongly as are missed, as far as there is room. Dice and
size go through normal numbers that are uncorrelated, or correlated by 0.4 or -0.4. The true pooled Dice is that of
4 million images. Intervals are those of `score_intervals`: `percentile_interval` of `resampled_sums`.

For the tests both models draw from the skewed distribution, the scores of one image through normal numbers with a
correlation of 0.8, so no model is better; a p value of 5 % or less is a false alarm. The t interval of the mean
difference, which comes with a test, is counted on the same samples. So are intervals of the pooled difference, with
sizes that have nothing to do with the scores, on samples of their own.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import scipy
import torch
from machine import machine_facts
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

from monai_lightseg.atomic import write_text
from monai_lightseg.metrics import (
    mean_interval,
    paired_permutation,
    paired_wilcoxon,
    percentile_interval,
    resampled_sums,
)
from monai_lightseg.metrics.confusion import confusion_scores
from monai_lightseg.metrics.statistics import IntervalMethod

LEVEL = 0.95
ALPHA = 0.05
CORRELATION = 0.8

# By number of images, a share and its standard error.
Row = dict[int, dict[str, float]]

FAILED = 0.07
GOOD_SCORES, FAILED_SCORES = beta(18, 2), beta(1.5, 3)
# The distribution function of the mixture on a grid, to be read backwards.
GRID = np.linspace(0, 1, 100_001)
SHARE_BELOW = (1 - FAILED) * GOOD_SCORES.cdf(GRID) + FAILED * FAILED_SCORES.cdf(GRID)

TRUE_MEANS = {"skewed": (1 - FAILED) * GOOD_SCORES.mean() + FAILED * FAILED_SCORES.mean(), "symmetric": 0.8}
DESCRIPTIONS = {
    "skewed": "93 % Beta(18, 2), 7 % Beta(1.5, 3)",
    "symmetric": "0.6 + 0.4 Beta(4, 4)",
}

# The correlation between the normal numbers that Dice and lesion size come from.
SIZE_CORRELATIONS = {"size apart": 0.0, "large better": 0.4, "large worse": -0.4}
# So many images that the error of their pooled Dice is no matter: 0.0001 or so.
POPULATION = 4_000_000
POOLED_DESCRIPTION = "skewed Dice per image, lesions of exp(N(log 0.13, 1.2)) of the image, 0.5 to 90 %"


def main() -> None:
    """Simulate, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[20, 50, 100, 200, 500])
    parser.add_argument("--test-images", type=int, nargs="+", default=[50, 200, 520])
    parser.add_argument("--simulations", type=int, default=8000, help="of the intervals")
    parser.add_argument("--pooled-simulations", type=int, default=2000, help="of the intervals of pooled scores")
    parser.add_argument("--test-simulations", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=999, help="of each bootstrap and each permutation test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "interval_coverage.json")
    arguments = parser.parse_args()

    facts = machine_facts() | {"numpy": np.__version__, "scipy": scipy.__version__}
    settings = {"level": LEVEL, "correlation": CORRELATION, "resamples": arguments.resamples}
    settings |= {"simulations": arguments.simulations, "test_simulations": arguments.test_simulations}
    settings |= {"pooled_simulations": arguments.pooled_simulations}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))

    intervals: dict[str, dict[str, Row]] = {}
    for name, description in DESCRIPTIONS.items():
        print(f"\nheld by {LEVEL:.0%} intervals, {name}: {description}; true mean {TRUE_MEANS[name]:.4f}")
        print_head("images", arguments.images)
        intervals[name] = {}
        for method in get_args(IntervalMethod):
            intervals[name][method] = {
                images: coverage(name, images, method, arguments.simulations, arguments.resamples)
                for images in arguments.images
            }
            print_row(method, intervals[name][method])

    true_dice = {name: true_pooled_dice(correlation) for name, correlation in SIZE_CORRELATIONS.items()}
    print(f"\nheld by {LEVEL:.0%} intervals, pooled Dice: {POOLED_DESCRIPTION}")
    print("; ".join(f"true with {name} {truth:.4f}" for name, truth in true_dice.items()))
    print_head("images", arguments.images)
    intervals["pooled"] = {}
    for name, truth in true_dice.items():
        intervals["pooled"][name] = {
            images: pooled_coverage(name, truth, images, arguments.pooled_simulations, arguments.resamples)
            for images in arguments.images
        }
        print_row(name, intervals["pooled"][name])

    false_alarms: dict[str, Row] = {}
    for images in arguments.test_images:
        shares = tests_without_difference(images, arguments.test_simulations, arguments.resamples)
        for name, share in shares.items():
            false_alarms.setdefault(name, {})[images] = share
    false_alarms["interval of pooled difference"] = {
        images: pooled_without_difference(images, arguments.pooled_simulations, arguments.resamples)
        for images in arguments.test_images
    }
    print(f"\nfalse alarms at {ALPHA:.0%}")
    print_head("images", arguments.test_images)
    for name, row in false_alarms.items():
        print_row(name, row)

    distributions: dict[str, dict[str, object]] = {
        name: {"description": description, "true_mean": TRUE_MEANS[name]} for name, description in DESCRIPTIONS.items()
    }
    distributions["pooled"] = {"description": POOLED_DESCRIPTION, "true_dice": true_dice}
    record = {"machine": facts, **settings, "distributions": distributions}
    record |= {"coverage": intervals, "false_alarms": false_alarms}
    write_text(arguments.out, json.dumps(record, indent=1) + "\n")


def print_head(title: str, images: Sequence[int]) -> None:
    """The line above a table."""
    print(f"{title:30}" + "".join(f"{number:>18}" for number in images))


def print_row(name: str, row: Row) -> None:
    """Shares and their standard errors."""
    print(f"{name:30}" + "".join(f"{cell['share']:10.4f} ±{cell['standard_error']:.4f}" for cell in row.values()))


def share_of(hits: Sequence[bool]) -> dict[str, float]:
    """The share of simulations and its standard error."""
    share = sum(hits) / len(hits)
    error = math.sqrt(share * (1 - share) / len(hits))
    return {"share": round(share, 5), "standard_error": round(error, 5)}


def skewed_scores(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Quantiles of the mixture, of any shape."""
    return np.interp(shares, SHARE_BELOW, GRID)


def draw(name: str, images: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Scores of one test set, (images,)."""
    return skewed_scores(rng.random(images)) if name == "skewed" else 0.6 + 0.4 * rng.beta(4, 4, images)


def draw_pair(images: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Scores of two equally good models, (2, images)."""
    normal = math.sqrt(CORRELATION) * rng.normal(size=images)
    normal = normal + math.sqrt(1 - CORRELATION) * rng.normal(size=(2, images))
    return skewed_scores(ndtr(normal))


def draw_shares(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lesions as shares of their images, of normal numbers."""
    return np.clip(np.exp(math.log(0.13) + 1.2 * normal), 0.005, 0.9)


def counts_of(dice: NDArray[np.float64], shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts tp, fp, tn and fn of images that have this Dice and a lesion of this share, (images, 4)."""
    false_positive = np.minimum((1 - dice) * shares, 1 - shares)
    true_positive = dice * (shares + false_positive) / (2 - dice)
    return np.stack([true_positive, false_positive, 1 - shares - false_positive, shares - true_positive], axis=1)


def draw_counts(correlation: float, images: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Counts of one test set, (images, 4)."""
    size, other = rng.normal(size=(2, images))
    dice = skewed_scores(ndtr(correlation * size + math.sqrt(1 - correlation**2) * other))
    return counts_of(dice, draw_shares(size))


def pooled_dice(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dice of each row of counts, (n,)."""
    return confusion_scores(torch.from_numpy(counts))["dice"].numpy()


def pooled_difference_of(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dice of the first model less that of the second, of rows that hold the counts of both, (n, 8)."""
    return pooled_dice(counts[:, :4]) - pooled_dice(counts[:, 4:])


def true_pooled_dice(correlation: float) -> float:
    """Pooled Dice of POPULATION images."""
    counts = draw_counts(correlation, POPULATION, np.random.default_rng(0))
    return float(pooled_dice(counts.sum(axis=0, keepdims=True))[0])


def coverage(name: str, images: int, method: IntervalMethod, simulations: int, resamples: int) -> dict[str, float]:
    """Share of intervals that hold the true mean, and of those that lie above it."""
    rng, truth = np.random.default_rng(images), TRUE_MEANS[name]
    held, above = [], []
    for seed in range(simulations):
        scores = draw(name, images, rng)
        interval = mean_interval(scores, level=LEVEL, method=method, resamples=resamples, seed=seed)
        held.append(interval.low <= truth <= interval.high)
        above.append(truth < interval.low)
    return share_of(held) | {"too_high": share_of(above)["share"]}


def pooled_coverage(name: str, truth: float, images: int, simulations: int, resamples: int) -> dict[str, float]:
    """Share of intervals that hold the true pooled Dice, and of those that lie above it."""
    rng = np.random.default_rng(images)
    held, above = [], []
    for seed in range(simulations):
        counts = draw_counts(SIZE_CORRELATIONS[name], images, rng)
        estimate = float(pooled_dice(counts.sum(axis=0, keepdims=True))[0])
        resampled = pooled_dice(resampled_sums(counts, resamples=resamples, seed=seed))
        interval = percentile_interval(estimate, resampled, n=images, level=LEVEL)
        held.append(interval.low <= truth <= interval.high)
        above.append(truth < interval.low)
    return share_of(held) | {"too_high": share_of(above)["share"]}


def tests_without_difference(images: int, simulations: int, resamples: int) -> dict[str, dict[str, float]]:
    """Share of false alarms of each test, and of intervals of the difference that do not hold zero."""
    rng = np.random.default_rng(images)
    alarms: dict[str, list[bool]] = {"paired_wilcoxon": [], "paired_permutation": [], "interval of difference": []}
    for seed in range(simulations):
        a, b = draw_pair(images, rng)
        wilcoxon = paired_wilcoxon(a, b, level=LEVEL)
        alarms["paired_wilcoxon"].append(wilcoxon.p_value <= ALPHA)
        alarms["paired_permutation"].append(paired_permutation(a, b, resamples=resamples, seed=seed).p_value <= ALPHA)
        alarms["interval of difference"].append(not wilcoxon.difference.low <= 0 <= wilcoxon.difference.high)
    return {name: share_of(found) for name, found in alarms.items()}


def pooled_without_difference(images: int, simulations: int, resamples: int) -> dict[str, float]:
    """Share of intervals of the pooled difference that do not hold zero."""
    rng = np.random.default_rng(images)
    alarms = []
    for seed in range(simulations):
        shares = draw_shares(rng.normal(size=images))
        a, b = (counts_of(dice, shares) for dice in draw_pair(images, rng))
        # One table, so that both models are resampled by the same images.
        counts = np.hstack([a, b])
        estimate = float(pooled_difference_of(counts.sum(axis=0, keepdims=True))[0])
        resampled = pooled_difference_of(resampled_sums(counts, resamples=resamples, seed=seed))
        interval = percentile_interval(estimate, resampled, n=images, level=LEVEL)
        alarms.append(not interval.low <= 0 <= interval.high)
    return share_of(alarms)


if __name__ == "__main__":
    main()
