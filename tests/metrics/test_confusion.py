"""Scores that follow from counts of pixels, against other libraries and a brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import ConfusionMatrixMetric, DiceMetric, MeanIoU

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import METRICS, POOLED_METRICS, score_binary_masks
from tests.metrics.mask_sets import Case, Mask, lesions, noise, with_empty

BY_COUNTS = (*POOLED_METRICS, "thresholded_jaccard")


def masks(size: tuple[int, int]) -> st.SearchStrategy[Mask]:
    return arrays(np.uint8, size, elements=st.integers(0, 1))


def pairs() -> st.SearchStrategy[tuple[Mask, Mask]]:
    sizes = st.tuples(st.integers(1, 6), st.integers(1, 6))
    return sizes.flatmap(lambda size: st.tuples(masks(size), masks(size)))


def brute_force(both: list[tuple[Mask, Mask]]) -> dict[str, float]:
    tp = fp = tn = fn = 0
    for prediction, truth in both:
        for said, is_so in zip(prediction.ravel().tolist(), truth.ravel().tolist(), strict=True):
            tp += said and is_so
            fp += said and not is_so
            fn += not said and is_so
            tn += not said and not is_so

    def ratio(above: int, below: int) -> float:
        return above / below if below else math.nan

    iou = ratio(tp, tp + fp + fn)
    return {
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "iou": iou,
        "mean_iou": (iou + ratio(tn, tn + fp + fn)) / 2,
        "sensitivity": ratio(tp, tp + fn),
        "specificity": ratio(tn, tn + fp),
        "accuracy": ratio(tp + tn, tp + tn + fp + fn),
    }


def named(both: list[tuple[Mask, Mask]]) -> list[Case]:
    return [(f"case_{i}", prediction, truth) for i, (prediction, truth) in enumerate(both)]


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_against_brute_force(both: list[tuple[Mask, Mask]]) -> None:
    scores = score_binary_masks(named(both))
    each = [brute_force([pair]) for pair in both]
    for one in each:
        one["thresholded_jaccard"] = 0.0 if one["iou"] < 0.65 else one["iou"]
    assert scores.pooled == pytest.approx(brute_force(both), rel=1e-12, nan_ok=True)
    for i, expected in enumerate(each):
        got = scores.per_image[f"case_{i}"]
        assert tuple(got) == METRICS
        assert {name: got[name] for name in BY_COUNTS} == pytest.approx(expected, rel=1e-12, nan_ok=True)
    for name in BY_COUNTS:
        defined = [one[name] for one in each if not math.isnan(one[name])]
        mean = sum(defined) / len(defined) if defined else math.nan
        assert scores.per_image_mean[name] == pytest.approx(mean, rel=1e-12, nan_ok=True)
        assert scores.undefined[name] == len(each) - len(defined)


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_dice_and_iou_belong_together(both: list[tuple[Mask, Mask]]) -> None:
    scores = score_binary_masks(named(both))
    for one in (scores.pooled, *scores.per_image.values()):
        assert one["iou"] == pytest.approx(one["dice"] / (2 - one["dice"]), nan_ok=True)
        if not math.isnan(one["mean_iou"]):
            assert one["mean_iou"] >= one["iou"] / 2
    for one in scores.per_image.values():
        assert one["thresholded_jaccard"] in (0, one["iou"]) or math.isnan(one["iou"])


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_prediction_and_truth_swapped(both: list[tuple[Mask, Mask]]) -> None:
    scores = score_binary_masks(named(both))
    swapped = score_binary_masks(named([(truth, prediction) for prediction, truth in both]))
    assert (swapped.missed, swapped.false_alarms) == (scores.false_alarms, scores.missed)
    for name in ("dice", "iou", "mean_iou", "accuracy"):
        assert swapped.pooled[name] == pytest.approx(scores.pooled[name], rel=1e-12, nan_ok=True)
    for name in set(METRICS) - {"sensitivity", "specificity"}:
        assert swapped.undefined[name] == scores.undefined[name]
        assert swapped.per_image_mean[name] == pytest.approx(scores.per_image_mean[name], rel=1e-12, nan_ok=True)
    for case_id, counts in scores.counts.items():
        assert swapped.counts[case_id] == counts | {"fp": counts["fn"], "fn": counts["fp"]}


@settings(deadline=None, max_examples=60)
@given(st.lists(pairs(), min_size=1, max_size=4))
def test_background_and_foreground_swapped(both: list[tuple[Mask, Mask]]) -> None:
    pooled = score_binary_masks(named(both)).pooled
    swapped = score_binary_masks(named([(1 - prediction, 1 - truth) for prediction, truth in both])).pooled
    for name, other in {"mean_iou": "mean_iou", "accuracy": "accuracy", "sensitivity": "specificity"}.items():
        assert swapped[name] == pytest.approx(pooled[other], rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("cases", [noise(), lesions(), with_empty()], ids=["noise", "lesions", "with empty"])
def test_pooled_against_scikit_learn(cases: list[Case]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    prediction, truth = (np.concatenate([case[k].ravel() for case in cases]) for k in (1, 2))
    expected = {
        "dice": sklearn.f1_score(truth, prediction),
        "iou": sklearn.jaccard_score(truth, prediction, average="binary"),
        "mean_iou": sklearn.jaccard_score(truth, prediction, average="macro"),
        "sensitivity": sklearn.recall_score(truth, prediction),
        "specificity": sklearn.recall_score(truth, prediction, pos_label=0),
        "accuracy": sklearn.accuracy_score(truth, prediction),
    }
    assert score_binary_masks(cases).pooled == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("case", with_empty(), ids=lambda case: case[0])
def test_each_image_against_scikit_learn(case: Case) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    prediction, truth = case[1].ravel(), case[2].ravel()
    nan = {"zero_division": np.nan}
    expected = {
        "dice": sklearn.f1_score(truth, prediction, **nan),
        # This function knows 0 and 1 in the place of NaN.
        "iou": sklearn.jaccard_score(truth, prediction, zero_division=0) if (prediction | truth).any() else math.nan,
        "sensitivity": sklearn.recall_score(truth, prediction, **nan),
        "specificity": sklearn.recall_score(truth, prediction, pos_label=0, **nan),
        "accuracy": sklearn.accuracy_score(truth, prediction),
    }
    of_background = sklearn.jaccard_score(truth, prediction, pos_label=0)
    expected["mean_iou"] = (expected["iou"] + of_background) / 2
    expected["thresholded_jaccard"] = 0.0 if expected["iou"] < 0.65 else expected["iou"]
    got = score_binary_masks([case]).per_image[case[0]]
    assert {name: got[name] for name in BY_COUNTS} == pytest.approx(expected, rel=1e-12, nan_ok=True)


def as_tensors(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(case[1])[None, None], torch.from_numpy(case[2])[None, None]


@pytest.mark.parametrize("of_each", [False, True])
def test_against_confusion_matrices_of_monai(of_each: bool) -> None:
    names = {name: name for name in ("sensitivity", "specificity", "accuracy")}
    names |= {"dice": "f1 score", "iou": "threat score"}
    metric = ConfusionMatrixMetric(metric_name=list(names.values()), compute_sample=of_each)
    cases = with_empty()
    for case in cases:
        metric(*as_tensors(case))
    scores = score_binary_masks(cases)
    ours = scores.per_image_mean if of_each else scores.pooled
    # MONAI computes in float32.
    for name, value in zip(names, metric.aggregate(), strict=True):
        assert ours[name] == pytest.approx(value.item(), rel=1e-6)


@pytest.mark.parametrize(("metric", "name"), [(DiceMetric(), "dice"), (MeanIoU(), "iou")])
def test_mean_is_that_of_monai_where_every_truth_has_pixels(metric: DiceMetric | MeanIoU, name: str) -> None:
    cases = [case for case in with_empty() if case[2].any()]
    assert score_binary_masks(cases).missed == 2
    for case in cases:
        metric(*as_tensors(case))
    assert score_binary_masks(cases).per_image_mean[name] == pytest.approx(metric.aggregate().item(), rel=1e-6)


@pytest.mark.parametrize(("metric", "name"), [(DiceMetric(), "dice"), (MeanIoU(), "iou")])
def test_monai_leaves_out_false_alarms_and_this_package_does_not(metric: DiceMetric | MeanIoU, name: str) -> None:
    cases = with_empty()
    for case in cases:
        metric(*as_tensors(case))
    with_lesion = [case for case in cases if case[2].any()]
    theirs, images = metric.aggregate().item(), len(with_lesion)
    assert theirs == pytest.approx(score_binary_masks(with_lesion).per_image_mean[name], rel=1e-6)
    assert score_binary_masks(cases).per_image_mean[name] == pytest.approx(theirs * images / (images + 1), rel=1e-6)


def test_mean_iou_is_not_the_iou() -> None:
    prediction, truth = np.array([[1, 1, 0, 0, 0, 0]], np.uint8), np.array([[1, 0, 0, 0, 0, 0]], np.uint8)
    pooled = score_binary_masks([("a", prediction, truth)]).pooled
    assert pooled["iou"] == 1 / 2
    assert pooled["mean_iou"] == pytest.approx((1 / 2 + 4 / 5) / 2)


@pytest.mark.parametrize(("tp", "expected"), [(12, 0), (13, 0.65), (14, 0.7)])
def test_an_iou_at_the_threshold_counts(tp: int, expected: float) -> None:
    prediction, truth = np.zeros((1, 24), np.uint8), np.zeros((1, 24), np.uint8)
    truth[0, :20], prediction[0, :tp] = 1, 1
    assert score_binary_masks([("a", prediction, truth)]).per_image["a"]["thresholded_jaccard"] == expected


def test_pooled_and_mean_differ_where_sizes_do() -> None:
    half = np.array([[1, 0]], np.uint8), np.array([[1, 1]], np.uint8)
    whole = np.ones((10, 10), np.uint8), np.ones((10, 10), np.uint8)
    scores = score_binary_masks(named([half, whole]))
    assert scores.pooled["dice"] == pytest.approx(2 * 101 / (2 * 101 + 1))
    assert scores.per_image_mean["dice"] == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(("lacking", "name"), [("fn", "sensitivity"), ("fp", "specificity")])
def test_counts_beyond_float32(lacking: str, name: str) -> None:
    side = 4097
    assert int(np.float32(side**2)) != side**2
    full, empty = np.ones((side, side), np.uint8), np.zeros((side, side), np.uint8)
    large = (empty, full) if lacking == "fn" else (full, empty)
    right = np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.uint8)
    scores = score_binary_masks(named([large, right, right]))
    assert scores.counts["case_0"] == {"tp": 0, "fp": 0, "tn": 0, "fn": 0} | {lacking: side**2}
    assert scores.pooled[name] == 2 / (side**2 + 2)


def test_empty_masks() -> None:
    empty, one = np.zeros((2, 2), np.uint8), np.array([[1, 0], [0, 0]], np.uint8)
    scores = score_binary_masks(
        [("both empty", empty, empty), ("false alarm", one, empty), ("hit", one, one), ("missed", empty, one)]
    )
    assert math.isnan(scores.per_image["both empty"]["dice"])
    assert scores.per_image["false alarm"]["dice"] == scores.per_image["missed"]["dice"] == 0
    assert scores.per_image["false alarm"]["mean_iou"] == 3 / 4 / 2
    assert math.isnan(scores.per_image["false alarm"]["sensitivity"])
    once = dict.fromkeys(("dice", "iou", "mean_iou", "thresholded_jaccard", "hd95", "surface_dice"), 1)
    assert scores.undefined == {**once, "sensitivity": 2, "specificity": 0, "accuracy": 0}
    assert scores.per_image_mean["dice"] == pytest.approx(1 / 3)
    assert (scores.missed, scores.false_alarms) == (1, 1)


def test_a_full_image_has_no_background_to_find() -> None:
    full = np.ones((2, 2), np.uint8)
    scores = score_binary_masks([("a", full, full)])
    assert scores.pooled["iou"] == 1
    assert math.isnan(scores.pooled["mean_iou"]) and math.isnan(scores.pooled["specificity"])
    assert scores.undefined == dict.fromkeys(METRICS, 0) | {"mean_iou": 1, "specificity": 1}


def test_all_undefined() -> None:
    empty = np.zeros((2, 2), np.uint8)
    scores = score_binary_masks([("a", empty, empty)])
    assert math.isnan(scores.pooled["dice"]) and math.isnan(scores.per_image_mean["dice"])
    assert scores.pooled["accuracy"] == 1


ZERO, TWO = np.zeros((2, 2), np.uint8), np.full((2, 2), 2, np.uint8)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "no masks"),
        ([("lesion", ZERO, np.zeros((2, 3), np.uint8))], "lesion: the prediction is (2, 2), the truth (2, 3)"),
        ([("lesion", ZERO[None], ZERO[None])], "lesion: the masks are (1, 2, 2): give one image"),
        ([("lesion", TWO, ZERO)], "lesion: masks hold 0 and 1"),
        ([("lesion", ZERO, TWO)], "lesion: masks hold 0 and 1"),
        ([("lesion", TWO / 4, ZERO)], "lesion: masks hold 0 and 1"),
        ([("lesion", TWO * np.nan, ZERO)], "lesion: masks hold 0 and 1"),
        ([("lesion", ZERO, ZERO), ("lesion", ZERO, ZERO)], "lesion is there twice"),
    ],
)
def test_errors(cases: list[Case], message: str) -> None:
    with pytest.raises(LightsegError) as error:
        score_binary_masks(cases)
    assert message in str(error.value)
