import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import DiceMetric
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import METRICS, score_binary_masks

Mask = NDArray[np.uint8]
Case = tuple[str, Mask, Mask]


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

    return {
        "dice": ratio(2 * tp, 2 * tp + fp + fn),
        "iou": ratio(tp, tp + fp + fn),
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
    assert scores.pooled == pytest.approx(brute_force(both), nan_ok=True)
    for i, expected in enumerate(each):
        assert scores.per_image[f"case_{i}"] == pytest.approx(expected, nan_ok=True)
    for name in METRICS:
        defined = [one[name] for one in each if not math.isnan(one[name])]
        mean = sum(defined) / len(defined) if defined else math.nan
        assert scores.per_image_mean[name] == pytest.approx(mean, nan_ok=True)
        assert scores.undefined[name] == len(each) - len(defined)


def random_cases() -> list[Case]:
    rng = np.random.default_rng(0)
    return [
        (f"case_{i}", rng.integers(0, 2, (24, 32), np.uint8), (rng.random((24, 32)) < share).astype(np.uint8))
        for i, share in enumerate((0.1, 0.4, 0.9))
    ]


def test_against_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    cases = random_cases()
    scores = score_binary_masks(cases)
    prediction, truth = (np.concatenate([case[k].ravel() for case in cases]) for k in (1, 2))
    assert scores.pooled == pytest.approx(
        {
            "dice": sklearn.f1_score(truth, prediction),
            "iou": sklearn.jaccard_score(truth, prediction),
            "sensitivity": sklearn.recall_score(truth, prediction),
            "specificity": sklearn.recall_score(truth, prediction, pos_label=0),
            "accuracy": sklearn.accuracy_score(truth, prediction),
        }
    )


def test_mean_dice_is_that_of_monai() -> None:
    cases = random_cases()
    metric = DiceMetric()
    for _, prediction, truth in cases:
        metric(torch.from_numpy(prediction)[None, None], torch.from_numpy(truth)[None, None])
    assert score_binary_masks(cases).per_image_mean["dice"] == pytest.approx(metric.aggregate().item())


def test_pooled_and_mean_differ_where_sizes_do() -> None:
    half = np.array([[1, 0]], np.uint8), np.array([[1, 1]], np.uint8)
    whole = np.ones((10, 10), np.uint8), np.ones((10, 10), np.uint8)
    scores = score_binary_masks(named([half, whole]))
    assert scores.pooled["dice"] == pytest.approx(2 * 101 / (2 * 101 + 1))
    assert scores.per_image_mean["dice"] == pytest.approx((2 / 3 + 1) / 2)


def test_empty_truth() -> None:
    empty, one = np.zeros((2, 2), np.uint8), np.array([[1, 0], [0, 0]], np.uint8)
    scores = score_binary_masks([("both empty", empty, empty), ("false alarm", one, empty), ("hit", one, one)])
    assert math.isnan(scores.per_image["both empty"]["dice"])
    assert scores.per_image["false alarm"]["dice"] == 0
    assert math.isnan(scores.per_image["false alarm"]["sensitivity"])
    assert scores.undefined == {"dice": 1, "iou": 1, "sensitivity": 2, "specificity": 0, "accuracy": 0}
    assert scores.per_image_mean["dice"] == 0.5


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
        ([("lesion", TWO, ZERO)], "lesion: masks hold 0 and 1"),
        ([("lesion", ZERO, TWO)], "lesion: masks hold 0 and 1"),
        ([("lesion", ZERO, ZERO), ("lesion", ZERO, ZERO)], "lesion is there twice"),
    ],
)
def test_errors(cases: list[Case], message: str) -> None:
    with pytest.raises(LightsegError) as error:
        score_binary_masks(cases)
    assert message in str(error.value)
