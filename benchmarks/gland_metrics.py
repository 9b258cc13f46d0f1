"""Object F1, Dice and Hausdorff distance of one GlaS-sized image, against simpler ways to find Hausdorff distances.

    python benchmarks/gland_metrics.py      # prints, and writes benchmarks/results/gland_metrics.json

The image is drawn: 775x522, 60 true objects with wavy outlines, a prediction that is a little off, misses three and
adds three. All ways must give the same figure, else the script ends with an error. They take turns in this process;
time is process CPU time, of which only the ratios mean anything elsewhere. The other ways are those in use: every point
of one object with every point of the other (in blocks), the same with SciPy's early break, and nearest neighbours from
a k-d tree of all points, as the challenge's own script finds them.
"""

import argparse
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from machine import clock_name, interleaved_seconds, machine_facts
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, directed_hausdorff

from monai_lightseg.atomic import write_text
from monai_lightseg.metrics import compute_object_dice, compute_object_f1, compute_object_hausdorff

Points = NDArray[np.float64]

OURS = "object Hausdorff, this package"
# Points of a block of distances: 32 MB of them, where the other object has 4000.
BLOCK = 1000


def main() -> None:
    """Draw, measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=775)
    parser.add_argument("--height", type=int, default=522)
    parser.add_argument("--columns", type=int, default=9, help="objects in a row")
    parser.add_argument("--rows", type=int, default=7, help="objects in a column")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gland_metrics.json")
    arguments = parser.parse_args()

    size, grid = (arguments.height, arguments.width), (arguments.rows, arguments.columns)
    prediction, truth = draw_pair(size, grid)
    maps = prediction[None, None], truth[None, None]
    figures: dict[str, float] = {}

    def remember(name: str, compute: Callable[[], float]) -> None:
        figures[name] = compute()

    ways: dict[str, Callable[[], float]] = {
        OURS: lambda: mean_of_sides(*compute_object_hausdorff(*maps)[0].tolist()),
        "k-d tree of all points": partial(simple_object_hausdorff, prediction, truth, by_tree),
        "SciPy's directed_hausdorff": partial(simple_object_hausdorff, prediction, truth, by_scipy),
        "every point with every point": partial(simple_object_hausdorff, prediction, truth, by_all_pairs),
    }
    calls: dict[str, Callable[[], object]] = {name: partial(remember, name, way) for name, way in ways.items()}
    calls["object F1, this package"] = lambda: compute_object_f1(*maps)
    calls["object Dice, this package"] = lambda: compute_object_dice(*maps)
    seconds = interleaved_seconds(calls, device="cpu", repeats=arguments.repeats, threads=1)
    for name, figure in figures.items():
        if not math.isclose(figure, figures[OURS], rel_tol=1e-12):
            raise RuntimeError(f"{name} gives {figure}, this package {figures[OURS]}")

    facts = machine_facts()
    settings = {"size": size, "threads": 1, "repeats": arguments.repeats, "clock": clock_name("cpu")}
    settings |= {"true_objects": count(truth), "predicted_objects": count(prediction)}
    settings |= {"object_hausdorff": figures[OURS]}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))
    print(f"\n{'':32}{'time, ms':>12}{'ratio':>10}")
    rows = {}
    for name, second in seconds.items():
        rows[name] = {"milliseconds": round(second * 1e3, 3), "time_ratio": round(second / seconds[OURS], 4)}
        print(f"{name:32}{rows[name]['milliseconds']:12.1f}{rows[name]['time_ratio']:10.2f}")
    write_text(arguments.out, json.dumps({"machine": facts, **settings, "ways": rows}, indent=1) + "\n")


def draw_pair(size: tuple[int, int], grid: tuple[int, int]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """A prediction and the truth it is about, label maps (height, width), their objects in rows and columns."""
    rng = np.random.default_rng(0)
    prediction, truth = np.zeros(size, np.int32), np.zeros(size, np.int32)
    y, x = np.indices(size)
    cell = size[0] / grid[0], size[1] / grid[1]
    for number, (row, column) in enumerate(np.ndindex(grid), start=1):
        centre = (row + 0.5) * cell[0], (column + 0.5) * cell[1]
        waves, phase = rng.integers(2, 7), rng.uniform(0, 2 * np.pi)
        for label_map, offset, noise in ((truth, (0.0, 0.0), 0.15), (prediction, rng.normal(0, 2, 2), 0.25)):
            dy, dx = y - centre[0] - offset[0], x - centre[1] - offset[1]
            outline = min(cell) / 2 * (0.8 + noise * np.sin(waves * np.arctan2(dy, dx) + phase))
            label_map[(np.hypot(dy, dx) <= outline) & (label_map == 0)] = number
    # Of 21 objects one is not predicted, and one is predicted that is none: neither has a partner.
    prediction[prediction % 21 == 5] = 0
    truth[truth % 21 == 15] = 0
    return prediction, truth


def count(label_map: NDArray[np.int32]) -> int:
    """Objects of a label map."""
    return len(np.unique(label_map[label_map > 0]))


def mean_of_sides(truth: float, truth_area: float, prediction: float, prediction_area: float) -> float:
    """The figure of one row of `compute_object_hausdorff`."""
    return (truth / truth_area + prediction / prediction_area) / 2


def simple_object_hausdorff(
    prediction: NDArray[np.int32], truth: NDArray[np.int32], hausdorff: Callable[[Points, Points], float]
) -> float:
    """Object Hausdorff distance object by object, as the challenge's definition reads."""
    return (weighted_distances(prediction, truth, hausdorff) + weighted_distances(truth, prediction, hausdorff)) / 2


def weighted_distances(
    own: NDArray[np.int32], other: NDArray[np.int32], hausdorff: Callable[[Points, Points], float]
) -> float:
    """Sum over the objects of one map of area share times distance to the partner."""
    candidates = [np.argwhere(other == number).astype(float) for number in np.unique(other[other > 0])]
    total = 0.0
    for number in np.unique(own[own > 0]):
        region = own == number
        points = np.argwhere(region).astype(float)
        labels, counts = np.unique(other[region & (other > 0)], return_counts=True)
        if len(labels):
            distance = hausdorff(points, np.argwhere(other == labels[counts.argmax()]).astype(float))
        else:
            distance = min(hausdorff(points, candidate) for candidate in candidates)
        total += len(points) * distance
    return total / np.count_nonzero(own)


def by_all_pairs(one: Points, other: Points) -> float:
    """Hausdorff distance from the distances of all pairs of points."""
    there, back = 0.0, np.full(len(other), np.inf)
    for start in range(0, len(one), BLOCK):
        distances = cdist(one[start : start + BLOCK], other)
        there = max(there, distances.min(axis=1).max())
        back = np.minimum(back, distances.min(axis=0))
    return max(there, back.max())


def by_scipy(one: Points, other: Points) -> float:
    """Hausdorff distance with a search that ends early."""
    return max(directed_hausdorff(one, other)[0], directed_hausdorff(other, one)[0])


def by_tree(one: Points, other: Points) -> float:
    """Hausdorff distance from nearest neighbours."""
    return max(cKDTree(other).query(one)[0].max(), cKDTree(one).query(other)[0].max())


if __name__ == "__main__":
    main()
