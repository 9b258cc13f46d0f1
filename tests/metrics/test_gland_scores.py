"""Scores of a test set and its parts."""

import math

import numpy as np
import pytest
import torch

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import (
    GLAND_METRICS,
    ObjectDiceMetric,
    ObjectF1Metric,
    ObjectHausdorffMetric,
    glas_part,
    score_glands,
)

METRICS = dict(zip(GLAND_METRICS, (ObjectF1Metric, ObjectDiceMetric, ObjectHausdorffMetric), strict=True))


def random_cases():
    rng = np.random.default_rng(0)
    names = ("testB_1", "testA_1", "testA_10", "testB_2")
    shares = (0.4, 0.2, 0.2, 0.2)
    cases = [(name, *rng.choice(4, (2, 8, 9 + i), p=shares)) for i, name in enumerate(names)]
    half = np.array([[1, 1, 0, 0]]), np.array([[1, 1, 1, 1]])
    return [*cases, ("testB_3", *half)]


def test_the_cases_tell_the_conventions_apart():
    challenge, pinckaers = (score_glands(random_cases(), convention=name).total for name in ("challenge", "pinckaers"))
    assert all(challenge.dataset[name] != pinckaers.dataset[name] for name in GLAND_METRICS)


@pytest.mark.parametrize("convention", ["challenge", "pinckaers"])
def test_total_and_parts_are_what_the_metrics_give(convention):
    cases = random_cases()
    scores = score_glands(cases, part_of=glas_part, convention=convention, spacing=(1, 2))
    assert list(scores.parts) == ["testB", "testA"]
    members = {"testA": cases[1:3], "testB": [cases[0], *cases[3:]]}
    for part, chosen in [(scores.total, cases), *((scores.parts[name], chosen) for name, chosen in members.items())]:
        assert part.images == len(chosen)
        assert part.one_side_empty == 0
        for name, metric_class in METRICS.items():
            options = {"spacing": (1, 2)} if name == "object_hausdorff" else {}
            metric = metric_class(convention=convention, **options)
            metric(*([torch.from_numpy(case[k])[None] for case in chosen] for k in (1, 2)))
            assert part.dataset[name] == metric.aggregate("dataset").item()
            assert part.per_image_mean[name] == metric.aggregate("mean").item()
            assert part.per_image_mean[name] == pytest.approx(
                np.mean([scores.per_image[case[0]][name] for case in chosen])
            )
    assert list(scores.per_image) == [case[0] for case in cases]


def test_without_parts():
    scores = score_glands(random_cases())
    assert scores.parts == {}
    assert scores.total.images == 5


def test_parts_from_a_mapping():
    cases = random_cases()
    parts = {case[0]: "benign" if i < 1 else "malignant" for i, case in enumerate(cases)}
    scores = score_glands(cases, part_of=parts.__getitem__)
    assert {name: part.images for name, part in scores.parts.items()} == {"benign": 1, "malignant": 4}


def test_tensors_and_arrays():
    cases = random_cases()
    tensors = [(name, torch.from_numpy(prediction), torch.from_numpy(truth)) for name, prediction, truth in cases]
    assert score_glands(tensors) == score_glands(cases)


def test_a_part_with_a_missed_image():
    one, none = np.ones((3, 3), int), np.zeros((3, 3), int)
    cases = [("testA_1", one, one), ("testA_2", none, one), ("testB_1", none, none)]
    scores = score_glands(cases, part_of=glas_part)
    assert scores.per_image["testA_2"] == {"object_f1": 0, "object_dice": 0, "object_hausdorff": math.inf}
    assert scores.per_image["testB_1"] == {"object_f1": 1, "object_dice": 1, "object_hausdorff": 0}
    assert [scores.parts[part].one_side_empty for part in ("testA", "testB")] == [1, 0]
    assert scores.parts["testA"].dataset["object_dice"] == (1 / 2 + 1) / 2
    assert scores.total.dataset["object_hausdorff"] == math.inf
    assert scores.parts["testB"].dataset["object_hausdorff"] == 0


@pytest.mark.parametrize("case_id", ["train_1", "testA_60", "testB_20"])
def test_glas_part(case_id):
    assert glas_part(case_id) == case_id.split("_")[0]


@pytest.mark.parametrize("case_id", ["testC_1", "ISIC_1", "1", ""])
def test_glas_part_of_another_image(case_id):
    with pytest.raises(LightsegError, match="no GlaS image"):
        glas_part(case_id)


MAP = np.zeros((2, 2), int)


@pytest.mark.parametrize(
    ("cases", "message"),
    [
        ([], "no label maps"),
        (
            [("gland", MAP, np.zeros((2, 3), int))],
            "gland: the prediction is (2, 2), the truth (2, 3): give both one size",
        ),
        ([("gland", MAP[None], MAP[None])], "gland: a label map is (1, 2, 2): give one image"),
        ([("gland", MAP + 0.5, MAP)], "gland: a label map holds fractions, NaN or infinity: give whole numbers"),
        ([("gland", MAP, MAP > 0)], "gland: a label map holds bool: give whole numbers"),
        ([("gland", MAP - 1, MAP)], "gland: a label map holds -1: give 0 to the background"),
        ([("gland", MAP, MAP), ("gland", MAP, MAP)], "gland is there twice"),
    ],
)
def test_errors(cases, message):
    with pytest.raises(LightsegError) as error:
        score_glands(cases)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_options_are_checked_before_any_case_is_read():
    def cases():
        raise AssertionError("a case was read")
        yield

    with pytest.raises(ValueError, match="pinkaers"):
        score_glands(cases(), convention="pinkaers")
    with pytest.raises(ValueError, match="spacing"):
        score_glands(cases(), spacing=0)
