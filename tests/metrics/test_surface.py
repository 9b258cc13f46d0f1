"""HD95 and surface Dice, against a brute force over all pairs of outline pixels, and where masks are empty."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import HausdorffDistanceMetric
from scipy.spatial.distance import cdist

from monai_lightseg.metrics import METRICS, score_binary_masks
from tests.metrics.mask_sets import Case, Mask, lesions, noise, with_empty

SURFACE = ("hd95", "surface_dice")

# MONAI places the percentile among n distances in float32, so it is off by n * 6e-8 of the gap between the two
# distances around it: here n is below 400 and that gap below 3, or n below 70 and the gap below 12.
FLOAT32 = 1e-4


def outline(mask: Mask) -> list[tuple[int, int]]:
    """Pixels of the mask that have a neighbour above, below, left or right that is not in it."""
    inside = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    steps = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return [(row, column) for row, column in inside if any((row + i, column + j) not in inside for i, j in steps)]


def percentile(values: list[float], share: float) -> float:
    """Linear between the two nearest of the sorted values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def brute_force(prediction: Mask, truth: Mask, tolerance: float) -> tuple[float, float]:
    table = cdist(outline(prediction), outline(truth))
    there, back = table.min(axis=1).tolist(), table.min(axis=0).tolist()
    near = sum(distance <= tolerance for distance in there + back)
    return max(percentile(there, 0.95), percentile(back, 0.95)), near / len(there + back)


def surface(prediction: Mask, truth: Mask, tolerance: float = 2) -> tuple[float, float]:
    one = score_binary_masks([("a", prediction, truth)], surface_tolerance=tolerance).per_image["a"]
    return one["hd95"], one["surface_dice"]


# 1.5 lies between the distances that pixels can have; 1, 2 and 5 are such distances.
@pytest.mark.parametrize("tolerance", [0, 1, 1.5, 2, 5])
@pytest.mark.parametrize("case", [*noise(), *lesions()], ids=lambda case: case[0])
def test_against_brute_force(case: Case, tolerance: float) -> None:
    assert surface(*case[1:], tolerance) == pytest.approx(brute_force(*case[1:], tolerance), abs=FLOAT32)


def filled_pairs() -> st.SearchStrategy[tuple[Mask, Mask]]:
    def masks(size: tuple[int, int]) -> st.SearchStrategy[Mask]:
        return arrays(np.uint8, size, elements=st.integers(0, 1)).filter(np.any)

    sizes = st.tuples(st.integers(1, 8), st.integers(1, 8))
    return sizes.flatmap(lambda size: st.tuples(masks(size), masks(size)))


@settings(deadline=None, max_examples=60)
@given(filled_pairs(), st.sampled_from([0, 1, 1.5, 2]))
def test_properties_of_filled_masks(pair: tuple[Mask, Mask], tolerance: float) -> None:
    hd95, dice = surface(*pair, tolerance)
    assert (hd95, dice) == pytest.approx(brute_force(*pair, tolerance), abs=FLOAT32)
    assert 0 <= hd95 < math.hypot(*pair[0].shape)
    assert 0 <= dice <= 1
    assert surface(pair[1], pair[0], tolerance) == (hd95, dice)
    assert surface(pair[0][::-1], pair[1][::-1], tolerance) == pytest.approx((hd95, dice), rel=1e-6)
    assert surface(pair[0], pair[0], tolerance) == (0, 1)
    assert surface(*pair, tolerance + 1)[1] >= dice
    assert surface(*pair, max(pair[0].shape) * 2)[1] == 1


def test_a_shift_by_hand() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[5:15, 5:15] = 1
    prediction = np.roll(truth, 3, axis=1)
    # Each outline has 36 pixels. In the two rows 14 are 0 away, and 2 each 1, 2 and 3. Of the column that is not in the
    # other square, the 8 inner ones are 3 away; of the column that is, 2 each 1 and 2, and 4 are 3.
    assert surface(prediction, truth, 2) == (3, pytest.approx((14 + 4 + 4) / 36))
    assert surface(prediction, truth, 1) == (3, pytest.approx((14 + 2 + 2) / 36))
    assert surface(prediction, truth, 3) == (3, 1)


@pytest.mark.parametrize("missed", [True, False])
def test_one_empty_mask_is_as_bad_as_it_gets(missed: bool) -> None:
    empty, corner = np.zeros((30, 40), np.uint8), np.zeros((30, 40), np.uint8)
    corner[0, 0] = 1
    pair = (empty, corner) if missed else (corner, empty)
    scores = score_binary_masks([("right", corner, corner), ("wrong", *pair)])
    assert scores.per_image["wrong"]["hd95"] == 50
    assert scores.per_image["wrong"]["surface_dice"] == 0
    assert (scores.missed, scores.false_alarms) == (int(missed), int(not missed))
    assert scores.per_image_mean["hd95"] == 25
    assert scores.per_image_mean["surface_dice"] == 0.5
    assert [scores.undefined[name] for name in SURFACE] == [0, 0]
    # Even the opposite corner is nearer.
    assert surface(corner[::-1, ::-1], corner)[0] == pytest.approx(math.hypot(29, 39))


def test_a_single_pixel_that_is_missed_is_no_hit() -> None:
    empty, pixel = np.zeros((1, 1), np.uint8), np.ones((1, 1), np.uint8)
    assert surface(pixel, pixel) == (0, 1)
    assert surface(empty, pixel) == (pytest.approx(math.sqrt(2)), 0)


def test_monai_drops_missed_lesions_and_this_package_counts_them() -> None:
    metric, cases = HausdorffDistanceMetric(include_background=True, percentile=95), with_empty()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, prediction, truth in cases:
            metric(torch.from_numpy(prediction)[None, None], torch.from_numpy(truth)[None, None])
    scores = score_binary_masks(cases)
    filled = score_binary_masks([*noise(), *lesions()])
    assert filled.per_image_mean["hd95"] == pytest.approx(metric.aggregate().item(), rel=1e-6)
    images = len(filled.per_image)
    assert scores.undefined["hd95"] == 1
    assert scores.missed + scores.false_alarms == 3
    # The images of these three are 48 x 64, with a diagonal of 80.
    assert scores.per_image_mean["hd95"] == pytest.approx(
        (filled.per_image_mean["hd95"] * images + 3 * 80) / (images + 3)
    )
    assert scores.per_image_mean["surface_dice"] == pytest.approx(
        filled.per_image_mean["surface_dice"] * images / (images + 3)
    )


def test_both_empty() -> None:
    empty = np.zeros((4, 5), np.uint8)
    scores = score_binary_masks([("a", empty, empty)])
    assert math.isnan(scores.per_image["a"]["hd95"]) and math.isnan(scores.per_image["a"]["surface_dice"])
    assert [scores.undefined[name] for name in SURFACE] == [1, 1]
    assert (scores.missed, scores.false_alarms) == (0, 0)


def test_no_warnings() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        score_binary_masks(with_empty())
    assert caught == []


def test_the_tolerance_is_told() -> None:
    cases = lesions()
    assert score_binary_masks(cases).surface_tolerance == 2
    strict = score_binary_masks(cases, surface_tolerance=0)
    assert strict.surface_tolerance == 0
    assert strict.per_image["shifted"]["surface_dice"] < score_binary_masks(cases).per_image["shifted"]["surface_dice"]
    for name in set(METRICS) - {"surface_dice"}:
        assert strict.per_image_mean[name] == score_binary_masks(cases).per_image_mean[name]


@pytest.mark.parametrize("tolerance", [-1, math.nan, math.inf])
def test_a_tolerance_that_is_none(tolerance: float) -> None:
    with pytest.raises(ValueError, match="surface_tolerance must be a number of pixels from 0"):
        score_binary_masks(lesions(), surface_tolerance=tolerance)
