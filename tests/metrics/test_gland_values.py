"""Values of the gland metrics: against brute force, by hand, and what must not change them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, label

from monai_lightseg.metrics import (
    GLAND_METRICS,
    compute_object_dice,
    compute_object_f1,
    compute_object_hausdorff,
    score_glands,
)
from tests.metrics.gland_brute_force import Side, brute_force, count_hits

CONVENTIONS = ("challenge", "pinckaers")
LABELS = (0, 1, 2, 7, 300)
SPACINGS = ((1.0, 1.0), (0.5, 3.0))


def pairs(longest=7):
    """A prediction and a truth of one size: noise, or a truth and the same with some pixels relabelled."""
    sizes = st.tuples(st.integers(1, longest), st.integers(1, longest))
    return sizes.flatmap(lambda size: st.one_of(st.tuples(noise(size), noise(size)), degraded(size)))


def noise(size):
    return arrays(np.int32, size, elements=st.sampled_from(LABELS))


def degraded(size):
    return st.tuples(noise(size), noise(size), arrays(bool, size)).map(
        lambda maps: (np.where(maps[2], *maps[:2]), maps[0])
    )


def values(prediction, truth, **options):
    return score_glands([("image", prediction, truth)], **options).per_image["image"]


@settings(deadline=None, max_examples=300)
@given(st.lists(pairs(), min_size=1, max_size=3), st.sampled_from(CONVENTIONS), st.sampled_from(SPACINGS))
def test_against_brute_force(images, convention, spacing):
    cases = [(str(i), *maps) for i, maps in enumerate(images)]
    scores = score_glands(cases, convention=convention, spacing=spacing)
    each = [brute_force([maps], convention, spacing) for maps in images]
    for case_id, expected in zip(scores.per_image, each, strict=True):
        assert scores.per_image[case_id] == pytest.approx(expected)
    assert scores.total.dataset == pytest.approx(brute_force(images, convention, spacing))
    means = {name: math.fsum(one[name] for one in each) / len(each) for name in GLAND_METRICS}
    assert scores.total.per_image_mean == pytest.approx(means)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_many_objects_against_brute_force(seed, convention, spacing):
    rng = np.random.default_rng(seed)
    truth, prediction = blobs(rng), blobs(rng)
    # Half of the image is predicted well, and objects of the other half overlap others or none.
    prediction[:, :14] = np.roll(truth, 1, axis=0)[:, :14]
    assert truth.max() > 8
    expected = brute_force([(prediction, truth)], convention, spacing)
    assert values(prediction, truth, convention=convention, spacing=spacing) == pytest.approx(expected)


def blobs(rng):
    smooth = gaussian_filter(rng.standard_normal((24, 28)), 1)
    return label(smooth > np.quantile(smooth, 0.75))[0]


@settings(deadline=None, max_examples=60)
@given(pairs(), st.sampled_from(CONVENTIONS))
def test_rows_against_brute_force(maps, convention):
    batch = [torch.from_numpy(labels)[None, None] for labels in maps]
    assert compute_object_f1(*batch, convention).tolist() == [list(count_hits(*maps, convention))]
    prediction, truth = maps
    sides = Side(), Side()
    sides[0].add_image(truth, prediction, convention, (1, 1))
    sides[1].add_image(prediction, truth, convention, (1, 1))
    dice = [figure for side in sides for figure in (side.dice_sum(), side.area)]
    assert compute_object_dice(*batch, convention)[0].tolist() == pytest.approx(dice)
    hausdorff = [figure for side in sides for figure in (side.distance_sum(), side.area)]
    assert compute_object_hausdorff(*batch, convention)[0].tolist() == pytest.approx(hausdorff)


@settings(deadline=None, max_examples=60)
@given(pairs(12), st.sampled_from(CONVENTIONS))
def test_dice_and_hausdorff_are_symmetric(maps, convention):
    one, other = values(*maps, convention=convention), values(*maps[::-1], convention=convention)
    assert one["object_dice"] == other["object_dice"]
    assert one["object_hausdorff"] == other["object_hausdorff"]


@settings(deadline=None, max_examples=60)
@given(pairs(12), st.sampled_from(CONVENTIONS))
def test_gaps_between_labels_change_nothing(maps, convention):
    spread = [np.where(labels > 0, 11 * labels.astype(np.int64) + 2**40, 0) for labels in maps]
    assert values(*spread, convention=convention) == values(*maps, convention=convention)


@settings(deadline=None, max_examples=60)
@given(pairs(12), st.permutations(LABELS[1:]), st.permutations(LABELS[1:]), st.sampled_from(CONVENTIONS))
def test_permuted_labels_change_nothing(maps, new_predicted, new_true, convention):
    assume(not any(has_ties(*order) for order in (maps, maps[::-1])))
    permuted = [permute(labels, new) for labels, new in zip(maps, (new_predicted, new_true), strict=True)]
    assert values(*permuted, convention=convention) == pytest.approx(values(*maps, convention=convention))


def has_ties(own, other):
    """Whether an object shares the same number of pixels with two others; the smaller label is its partner then."""
    for number in set(own.ravel().tolist()) - {0}:
        shared = np.unique(other[(own == number) & (other > 0)], return_counts=True)[1]
        if len(shared) != len(set(shared.tolist())):
            return True
    return False


def permute(labels, new):
    table = dict(zip(LABELS, (0, *new), strict=True))
    return np.vectorize(table.get, otypes=[labels.dtype])(labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.uint64, np.float32])
def test_every_type_of_whole_numbers(dtype):
    truth = np.array([[1, 1, 0, 2], [1, 1, 0, 2]], dtype)
    prediction = np.array([[1, 0, 0, 2], [1, 0, 0, 0]], dtype)
    assert values(prediction, truth) == values(prediction.astype(np.int32), truth.astype(np.int32))


def image(*rows):
    """A label map from rows of digits; a point is background."""
    return np.array([[0 if sign == "." else int(sign) for sign in row] for row in rows])


EMPTY = image("......", "......")
TWO = image("11..22", "11..22")


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    ("prediction", "truth", "expected"),
    [
        pytest.param(TWO, TWO, (1, 1, 0), id="perfect"),
        pytest.param(EMPTY, EMPTY, (1, 1, 0), id="both empty"),
        pytest.param(EMPTY, TWO, (0, 0, math.inf), id="nothing predicted"),
        pytest.param(TWO, EMPTY, (0, 0, math.inf), id="nothing there"),
        # Truth: Dice 1 and 0, distances 0 and 4 (to object 1), half of the area each. Prediction: Dice 1, distance 0.
        pytest.param(image("11....", "11...."), TWO, (2 / 3, 3 / 4, 1), id="missed"),
        # The same, seen from the other side.
        pytest.param(TWO, image("11....", "11...."), (2 / 3, 3 / 4, 1), id="false alarm"),
        # Pieces of 6 and 4 pixels of an object of 10: the larger one hits it. Dice 12 / 16 and 8 / 14.
        # Distances: 2 from the object to the larger piece, 3 to the smaller.
        pytest.param(
            image("11122", "11122"),
            image("11111", "11111"),
            (2 / 3, (12 / 16 + (0.6 * 12 / 16 + 0.4 * 8 / 14)) / 2, (2 + (0.6 * 2 + 0.4 * 3)) / 2),
            id="split",
        ),
        # Objects of 6 and 4 pixels predicted as one, which hits the larger.
        pytest.param(
            image("11111", "11111"),
            image("11122", "11122"),
            (2 / 3, (12 / 16 + (0.6 * 12 / 16 + 0.4 * 8 / 14)) / 2, (2 + (0.6 * 2 + 0.4 * 3)) / 2),
            id="merged",
        ),
        pytest.param(image("1122", "1122"), image("2211", "2211"), (1, 1, 0), id="touching, other numbers"),
        # The border between two touching objects is one pixel off.
        pytest.param(
            image("111122", "111122"),
            image("111222", "111222"),
            (1, ((12 / 14 + 8 / 10) / 2 + (8 * 12 / 14 + 4 * 8 / 10) / 12) / 2, 1),
            id="touching",
        ),
    ],
)
def test_by_hand(prediction, truth, expected, convention):
    assert values(prediction, truth, convention=convention) == pytest.approx(
        dict(zip(GLAND_METRICS, expected, strict=True))
    )


def test_half_of_an_object_hits_in_the_challenge_only():
    prediction, truth = image("11.."), image("1111")
    assert values(prediction, truth)["object_f1"] == 1
    assert values(prediction, truth, convention="pinckaers")["object_f1"] == 0


def test_two_halves_hit_an_object_once():
    rows = compute_object_f1(image("1122")[None, None], image("1111")[None, None])
    assert rows.tolist() == [[1, 1, 0]]


def test_the_smaller_label_of_two_partners():
    # The prediction shares two pixels with each true object: half of one, a third of the other.
    prediction = image("..1111....")
    assert values(prediction, image("1111222222"))["object_f1"] == pytest.approx(2 / 3)
    assert values(prediction, image("2222111111"))["object_f1"] == 0


def test_background_as_a_partner():
    prediction, truth = image("1111...."), image("1.....22")
    # Object 1 of the prediction lies on one pixel of object 1, three of the background (5 pixels): Dice 6 / 9.
    # True object 1 lies in predicted object 1: Dice 2 / 5. True object 2 meets no object: Dice 0.
    dice = values(prediction, truth, convention="pinckaers")["object_dice"]
    assert dice == pytest.approx((6 / 9 + (1 / 3) * 2 / 5) / 2)
    # The predicted object is 2 from the far end of the background of the truth, its first pixel 1 from it.
    # True object 1 is 3 from the far end of predicted object 1; true object 2 is 6 from it, the nearest there is.
    distance = values(prediction, truth, convention="pinckaers")["object_hausdorff"]
    assert distance == pytest.approx((2 + (3 + 2 * 6) / 3) / 2)
    # In the challenge the partner is the true object 1.
    assert values(prediction, truth)["object_dice"] == pytest.approx((2 / 5 + (1 / 3) * 2 / 5) / 2)
    assert values(prediction, truth)["object_hausdorff"] == pytest.approx((3 + (3 + 2 * 6) / 3) / 2)


def test_the_farthest_point_may_lie_inside():
    ring = np.ones((9, 9), np.uint8)
    ring[1:-1, 1:-1] = 0
    # The centre of the disc is 4 from the ring; all of its border is in the ring.
    assert values(np.ones((9, 9), np.uint8), ring)["object_hausdorff"] == 4


def test_nearest_is_by_hausdorff_distance_and_not_by_gap():
    # Object 2 begins two pixels away and ends nine away; object 3 is three away.
    truth = image("...22222222", "...........", "...........", "33.........")
    prediction = image("11.........", "...........", "...........", "...........")
    assert compute_object_hausdorff(prediction[None, None], truth[None, None])[0, 2:].tolist() == [2 * 3, 2]


def test_spacing():
    prediction, truth = image("1...", "....", "...."), image("....", "....", "1...")
    assert values(prediction, truth)["object_hausdorff"] == 2
    assert values(prediction, truth, spacing=0.5)["object_hausdorff"] == 1
    assert values(prediction, truth, spacing=(3, 100))["object_hausdorff"] == 6
