"""The thresholded Jaccard index as a MONAI metric and as an ignite handler."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.data import MetaTensor

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import ThresholdedJaccardMetric, compute_thresholded_jaccard, score_binary_masks
from tests.metrics.mask_sets import lesions, with_empty

# Two images of two channels: IoU 3/4 and 1/2, 0 (missed) and none (both empty).
TRUTH = torch.tensor([[[[1, 1, 1, 1]], [[0, 0, 1, 1]]], [[[1, 1, 0, 0]], [[0, 0, 0, 0]]]])
PREDICTION = torch.tensor([[[[0, 1, 1, 1]], [[0, 0, 0, 1]]], [[[0, 0, 0, 0]], [[0, 0, 0, 0]]]])


def test_by_hand() -> None:
    values = compute_thresholded_jaccard(PREDICTION, TRUTH)
    assert values.dtype == torch.float64
    assert values.tolist()[0] == [0.75, 0]
    assert values[1, 0] == 0 and values[1, 1].isnan()
    assert compute_thresholded_jaccard(PREDICTION, TRUTH, threshold=0.5).tolist()[0] == [0.75, 0.5]
    assert compute_thresholded_jaccard(PREDICTION, TRUTH, threshold=0.8).tolist()[0] == [0, 0]
    assert compute_thresholded_jaccard(PREDICTION, TRUTH, ignore_empty=False).tolist()[1] == [0, 1]
    assert compute_thresholded_jaccard(PREDICTION, TRUTH, threshold=0.5, include_background=False)[0].tolist() == [0.5]


@pytest.mark.parametrize("kind", [torch.Tensor.bool, torch.Tensor.float, torch.Tensor.half, MetaTensor])
def test_kinds_of_masks(kind: type) -> None:
    values = compute_thresholded_jaccard(kind(PREDICTION), kind(TRUTH))
    assert type(values) is torch.Tensor
    # NaN is not equal to itself.
    assert values.nan_to_num(7).equal(compute_thresholded_jaccard(PREDICTION, TRUTH).nan_to_num(7))


def masks() -> st.SearchStrategy[np.ndarray]:
    return arrays(np.uint8, st.tuples(st.just(2), st.just(1), st.integers(1, 7)), elements=st.integers(0, 1))


@settings(deadline=None, max_examples=100)
@given(masks().map(lambda both: (both[0], both[1])), st.sampled_from([0, 0.5, 0.65, 1]))
def test_against_fractions(pair: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    union = sum(p or t for p, t in zip(pair[0].ravel().tolist(), pair[1].ravel().tolist(), strict=True))
    shared = sum(p and t for p, t in zip(pair[0].ravel().tolist(), pair[1].ravel().tolist(), strict=True))
    jaccard = Fraction(shared, union) if union else Fraction(1)
    expected = float(jaccard) if jaccard >= Fraction(str(threshold)) else 0.0
    prediction, truth = (torch.from_numpy(mask)[None, None] for mask in pair)
    assert compute_thresholded_jaccard(prediction, truth, threshold, ignore_empty=False).item() == expected
    value = compute_thresholded_jaccard(prediction, truth, threshold).item()
    assert value == expected if union else math.isnan(value)


@pytest.mark.parametrize(("shared", "counts"), [(64, False), (65, True), (66, True)])
def test_at_the_threshold(shared: int, counts: bool) -> None:
    truth = torch.ones(1, 1, 10, 10)
    prediction = torch.zeros(1, 1, 100)
    prediction[..., :shared] = 1
    value = compute_thresholded_jaccard(prediction.reshape(1, 1, 10, 10), truth).item()
    assert value == (shared / 100 if counts else 0)


def test_it_is_the_mean_of_the_scores_of_a_set() -> None:
    metric, by_challenge = ThresholdedJaccardMetric(), ThresholdedJaccardMetric(ignore_empty=False)
    cases = with_empty()
    for _, prediction, truth in cases:
        for one in (metric, by_challenge):
            one([torch.from_numpy(prediction)[None]], [torch.from_numpy(truth)[None]])
    scores = score_binary_masks(cases)
    assert metric.aggregate().item() == pytest.approx(scores.per_image_mean["thresholded_jaccard"], rel=1e-12)
    each = [
        0 if math.isnan(one["thresholded_jaccard"]) else one["thresholded_jaccard"] for one in scores.per_image.values()
    ]
    assert by_challenge.aggregate().item() == pytest.approx((sum(each) + 1) / len(each), rel=1e-12)
    assert scores.per_image_mean["thresholded_jaccard"] < scores.per_image_mean["iou"]


def test_batch_list_and_one_by_one_agree() -> None:
    prediction, truth = (torch.from_numpy(np.stack([case[k] for case in lesions()[:6]]))[:, None] for k in (1, 2))
    batch, listed, single = (ThresholdedJaccardMetric() for _ in range(3))
    batch(prediction, truth)
    listed(list(prediction), list(truth))
    for i in range(len(truth)):
        single(prediction[i : i + 1], truth[i : i + 1])
    assert batch.get_buffer().shape == (6, 1)
    assert batch.get_buffer().equal(listed.get_buffer())
    assert batch.aggregate() == listed.aggregate() == single.aggregate()
    assert batch.aggregate().shape == ()


def test_reset_forgets() -> None:
    metric = ThresholdedJaccardMetric()
    metric(PREDICTION, TRUTH)
    metric.reset()
    with pytest.raises(ValueError, match="nothing to aggregate"):
        metric.aggregate()
    metric(PREDICTION[:1], TRUTH[:1])
    assert metric.aggregate().item() == 0.75 / 2


def test_all_left_out() -> None:
    metric = ThresholdedJaccardMetric()
    metric(torch.zeros(2, 1, 3, 3), torch.zeros(2, 1, 3, 3))
    assert metric.aggregate().isnan()


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (PREDICTION, TRUTH[:1], "y_pred is (2, 2, 1, 4), y (1, 2, 1, 4)"),
        (PREDICTION[0, 0], TRUTH[0, 0], "y_pred is (1, 4): give masks (batch, channel"),
        (PREDICTION * 0.7, TRUTH, "masks hold 0 and 1 only"),
        (PREDICTION, TRUTH * 2, "masks hold 0 and 1 only"),
        (PREDICTION * math.nan, TRUTH, "masks hold 0 and 1 only"),
    ],
)
def test_bad_masks(prediction: torch.Tensor, truth: torch.Tensor, message: str) -> None:
    with pytest.raises(LightsegError) as error:
        compute_thresholded_jaccard(prediction, truth)
    assert message in str(error.value)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_that_is_none(threshold: float) -> None:
    with pytest.raises(ValueError, match="threshold must be from 0 to 1"):
        ThresholdedJaccardMetric(threshold)
    with pytest.raises(ValueError, match="threshold must be from 0 to 1"):
        compute_thresholded_jaccard(PREDICTION, TRUTH, threshold)


def test_as_a_handler() -> None:
    engines = pytest.importorskip("ignite.engine")
    from monai_lightseg.metrics.thresholded_jaccard_handler import ThresholdedJaccard

    handler = ThresholdedJaccard(
        threshold=0.5, include_background=False, ignore_empty=False, output_transform=lambda output: output["pair"]
    )
    engine = engines.Engine(lambda engine, i: {"pair": (PREDICTION[i : i + 1], TRUTH[i : i + 1])})
    handler.attach(engine, "score")
    for _ in range(2):  # a second run starts anew
        engine.run([0, 1])
        assert engine.state.metrics["score"] == (0.5 + 1) / 2
    assert engine.state.metric_details["score"].tolist() == [[0.5], [1]]
    ThresholdedJaccard(save_details=False).attach(engine, "other")
