"""How often 95 % intervals of a mean score hold the true mean, and how often paired tests find what is not there.

    python benchmarks/interval_coverage.py      # prints, and writes benchmarks/results/interval_coverage.json

Scores are simulated. "skewed": as Dice per image tends to be, most images good and a few failed, a mixture of
93 % Beta(18, 2) and 7 % Beta(1.5, 3). "symmetric": 0.6 + 0.4 Beta(4, 4). `mean_interval` is called on every sample as
a user would, and its ends are compared with the mean of the distribution. All methods see the same samples. A share of
k simulations has a standard error of its own, which is printed.

For the tests both models draw from the skewed distribution, the scores of one image through normal numbers with a
correlation of 0.8, so no model is better; a p value of 5 % or less is a false alarm. The t interval of the mean
difference, which comes with a test, is counted on the same samples.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import scipy
from machine import machine_facts
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

from monai_lightseg.atomic import write_text
from monai_lightseg.metrics import mean_interval, paired_permutation, paired_wilcoxon
from monai_lightseg.metrics.statistics import IntervalMethod

LEVEL = 0.95
ALPHA = 0.05
CORRELATION = 0.8

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


def main() -> None:
    """Simulate, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[20, 50, 100, 200, 500])
    parser.add_argument("--test-images", type=int, nargs="+", default=[50, 200, 520])
    parser.add_argument("--simulations", type=int, default=8000, help="of the intervals")
    parser.add_argument("--test-simulations", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=999, help="of each bootstrap and each permutation test")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "interval_coverage.json")
    arguments = parser.parse_args()

    facts = machine_facts() | {"numpy": np.__version__, "scipy": scipy.__version__}
    settings = {"level": LEVEL, "correlation": CORRELATION, "resamples": arguments.resamples}
    settings |= {"simulations": arguments.simulations, "test_simulations": arguments.test_simulations}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))

    intervals: dict[str, dict[str, dict[int, dict[str, float]]]] = {}
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

    false_alarms: dict[str, dict[int, dict[str, float]]] = {}
    for images in arguments.test_images:
        shares = tests_without_difference(images, arguments.test_simulations, arguments.resamples)
        for name, share in shares.items():
            false_alarms.setdefault(name, {})[images] = share
    print(f"\nfalse alarms at {ALPHA:.0%}")
    print_head("images", arguments.test_images)
    for name, row in false_alarms.items():
        print_row(name, row)

    distributions = {
        name: {"description": description, "true_mean": TRUE_MEANS[name]} for name, description in DESCRIPTIONS.items()
    }
    record = {"machine": facts, **settings, "distributions": distributions}
    record |= {"coverage": intervals, "false_alarms": false_alarms}
    write_text(arguments.out, json.dumps(record, indent=1) + "\n")


def print_head(title: str, images: Sequence[int]) -> None:
    """The line above a table."""
    print(f"{title:28}" + "".join(f"{number:>18}" for number in images))


def print_row(name: str, row: dict[int, dict[str, float]]) -> None:
    """Shares and their standard errors."""
    print(f"{name:28}" + "".join(f"{cell['share']:10.4f} ±{cell['standard_error']:.4f}" for cell in row.values()))


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


if __name__ == "__main__":
    main()
