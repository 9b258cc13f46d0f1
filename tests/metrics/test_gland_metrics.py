"""The gland metrics as MONAI metrics: input, aggregation, errors, names, several processes."""

import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ComponentLocator
from monai.data import MetaTensor

from monai_lightseg import metrics as public
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import (
    ObjectDiceMetric,
    ObjectF1Metric,
    ObjectHausdorffMetric,
    compute_object_dice,
    compute_object_f1,
    compute_object_hausdorff,
)

ROOT = Path(__file__).parents[2]
METRICS = (ObjectF1Metric, ObjectDiceMetric, ObjectHausdorffMetric)
FUNCTIONS = (compute_object_f1, compute_object_dice, compute_object_hausdorff)

# Image 0: objects of 4 and 2 pixels; the first is predicted, the second missed, 4 from the far end of the prediction.
# Image 1: one object of 10 pixels, of which 6 are predicted.
TRUTH = torch.tensor([[[[1, 1, 0, 0, 2], [1, 1, 0, 0, 2]]], [[[5, 5, 5, 5, 5], [5, 5, 5, 5, 5]]]])
PREDICTION = torch.tensor([[[[3, 3, 0, 0, 0], [3, 3, 0, 0, 0]]], [[[9, 9, 9, 0, 0], [9, 9, 9, 0, 0]]]])
EMPTY = torch.zeros_like(TRUTH[:1])

BY_HAND = {
    # tp 1 + 1, fp 0, fn 1 + 0
    ObjectF1Metric: {"dataset": 2 * 2 / (2 * 2 + 1), "mean": (2 / 3 + 1) / 2},
    # Dice 1 and 0 of areas 4 and 2, 12 / 16 of 10; from the prediction 1 of 4, 12 / 16 of 6
    ObjectDiceMetric: {
        "dataset": ((4 + 0 + 7.5) / 16 + (4 + 4.5) / 10) / 2,
        "mean": ((4 / 6 + 1) / 2 + 12 / 16) / 2,
    },
    # distances 0 and 4 of areas 4 and 2, 2 of 10; from the prediction 0 of 4, 2 of 6
    ObjectHausdorffMetric: {
        "dataset": ((0 + 2 * 4 + 10 * 2) / 16 + (0 + 6 * 2) / 10) / 2,
        "mean": (2 * 4 / 6 / 2 + 2) / 2,
    },
}


@pytest.mark.parametrize("metric_class", METRICS)
@pytest.mark.parametrize("reduction", ["dataset", "mean"])
def test_aggregation_of_two_images_by_hand(metric_class, reduction):
    metric = metric_class(reduction=reduction)
    metric(PREDICTION, TRUTH)
    figure = metric.aggregate()
    assert figure.shape == ()
    assert figure.item() == pytest.approx(BY_HAND[metric_class][reduction])


@pytest.mark.parametrize("metric_class", METRICS)
def test_the_challenge_aggregates_over_the_dataset(metric_class):
    metric = metric_class()
    metric(PREDICTION, TRUTH)
    assert metric.aggregate() == metric.aggregate("dataset")
    assert metric.aggregate("mean").item() == pytest.approx(BY_HAND[metric_class]["mean"])


@pytest.mark.parametrize("metric_class", METRICS)
@pytest.mark.parametrize("reduction", ["dataset", "mean"])
def test_batch_list_and_one_by_one_agree(metric_class, reduction):
    batch, listed, single = (metric_class(reduction=reduction) for _ in range(3))
    batch(PREDICTION, TRUTH)
    listed(list(PREDICTION), list(TRUTH))
    for i in range(2):
        single(PREDICTION[i : i + 1], TRUTH[i : i + 1])
    assert batch.aggregate() == listed.aggregate() == single.aggregate()
    assert batch.get_buffer().equal(listed.get_buffer())


@pytest.mark.parametrize("metric_class", METRICS)
def test_images_of_a_list_may_differ_in_size(metric_class):
    metric = metric_class()
    metric([PREDICTION[0], PREDICTION[1, :, :1]], [TRUTH[0], TRUTH[1, :, :1]])
    assert len(metric.get_buffer()) == 2


@pytest.mark.parametrize("metric_class", METRICS)
def test_reset_forgets(metric_class):
    metric = metric_class()
    metric(EMPTY, TRUTH[:1])
    metric.reset()
    with pytest.raises(ValueError, match="nothing to aggregate"):
        metric.aggregate()
    metric(PREDICTION, TRUTH)
    assert metric.aggregate().item() == pytest.approx(BY_HAND[metric_class]["dataset"])


@pytest.mark.parametrize(
    ("metric_class", "both_empty", "nothing_predicted"),
    [(ObjectF1Metric, 1, 0), (ObjectDiceMetric, 1, 0), (ObjectHausdorffMetric, 0, math.inf)],
)
def test_empty_images(metric_class, both_empty, nothing_predicted):
    metric = metric_class()
    metric(EMPTY, EMPTY)
    assert metric.aggregate("dataset").item() == metric.aggregate("mean").item() == both_empty
    metric.reset()
    metric(EMPTY, TRUTH[:1])
    assert metric.aggregate("dataset").item() == metric.aggregate("mean").item() == nothing_predicted


@pytest.mark.parametrize("metric_class", METRICS)
def test_an_image_without_objects_counts_in_the_mean_only(metric_class):
    metric = metric_class()
    metric(PREDICTION, TRUTH)
    metric(EMPTY, EMPTY)
    perfect = 0 if metric_class is ObjectHausdorffMetric else 1
    assert metric.aggregate("dataset").item() == pytest.approx(BY_HAND[metric_class]["dataset"])
    assert metric.aggregate("mean").item() == pytest.approx((2 * BY_HAND[metric_class]["mean"] + perfect) / 3)


def test_an_image_with_nothing_predicted_counts_as_missed_objects():
    missed = [metric_class() for metric_class in METRICS]
    for metric in missed:
        metric(PREDICTION, TRUTH)
        metric(EMPTY, TRUTH[:1])
    assert [metric.aggregate().item() for metric in missed] == pytest.approx(
        [2 * 2 / (2 * 2 + 1 + 2), ((4 + 7.5) / (16 + 6) + (4 + 4.5) / 10) / 2, math.inf]
    )


@pytest.mark.parametrize(("function", "columns"), list(zip(FUNCTIONS, (3, 4, 4), strict=True)))
def test_rows(function, columns):
    rows = function(PREDICTION, TRUTH)
    assert rows.shape == (2, columns)
    assert rows.dtype == torch.float64
    assert type(function(MetaTensor(PREDICTION), MetaTensor(TRUTH))) is torch.Tensor
    assert function(PREDICTION.numpy(), TRUTH.numpy().astype(np.uint16)).equal(rows)
    assert function(PREDICTION.float(), TRUTH.double()).equal(rows)
    assert function(PREDICTION[:0], TRUTH[:0]).shape == (0, columns)
    assert function(PREDICTION, TRUTH, convention="pinckaers").shape == (2, columns)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (PREDICTION, TRUTH[:1], "y_pred is (2, 1, 2, 5), y (1, 1, 2, 5)"),
        (PREDICTION[:, 0], TRUTH[:, 0], "give label maps (batch, 1, height, width)"),
        (PREDICTION.expand(2, 3, 2, 5), TRUTH.expand(2, 3, 2, 5), "give label maps (batch, 1, height, width)"),
        (PREDICTION + 0.5, TRUTH, "holds fractions, NaN or infinity: give whole numbers"),
        (PREDICTION, TRUTH * math.nan, "holds fractions, NaN or infinity: give whole numbers"),
        (PREDICTION, TRUTH.double() * math.inf, "holds fractions, NaN or infinity: give whole numbers"),
        (PREDICTION > 0, TRUTH, "holds bool: give whole numbers"),
        (-PREDICTION.float(), TRUTH, "give 0 to the background"),
        (PREDICTION, -TRUTH, "holds -5: give 0 to the background"),
    ],
)
def test_bad_label_maps(function, prediction, truth, message):
    with pytest.raises(LightsegError) as error:
        function(prediction, truth)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_intensities_are_no_labels(function):
    values = torch.arange(73 * 137).reshape(1, 1, 73, 137)  # 0 to 10000
    with pytest.raises(LightsegError, match=r"hold 10000 and 10000 objects.*intensities rather than labels"):
        function(values, values)


@pytest.mark.parametrize("metric_class", METRICS)
def test_a_metric_needs_the_truth(metric_class):
    with pytest.raises(LightsegError, match="give whole numbers"):
        metric_class()(PREDICTION)


@pytest.mark.parametrize("metric_class", METRICS)
def test_unknown_options(metric_class):
    with pytest.raises(ValueError, match="pinkaers"):
        metric_class(convention="pinkaers")
    with pytest.raises(ValueError, match="sum"):
        metric_class(reduction="sum")
    metric = metric_class()
    metric(PREDICTION, TRUTH)
    with pytest.raises(ValueError, match="sum"):
        metric.aggregate("sum")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_unknown_convention(function):
    with pytest.raises(ValueError, match="pinkaers"):
        function(PREDICTION, TRUTH, convention="pinkaers")


@pytest.mark.parametrize("spacing", [0, -1, (1, 0), (1, 1, 1), math.nan, math.inf])
def test_spacing_that_is_no_size(spacing):
    with pytest.raises(ValueError, match="spacing must be one or two positive numbers"):
        ObjectHausdorffMetric(spacing=spacing)
    with pytest.raises(ValueError, match="spacing must be one or two positive numbers"):
        compute_object_hausdorff(PREDICTION, TRUTH, spacing=spacing)


def test_no_name_is_one_of_monai():
    # The locator of bundle configs would take MONAI's.
    from monai_lightseg.metrics import gland_handlers

    locator = ComponentLocator()
    exported = {
        name for name in public.__all__ if inspect.isroutine(item := getattr(public, name)) or inspect.isclass(item)
    }
    names = exported | set(gland_handlers.__all__)
    assert {"ObjectF1Metric", "ObjectF1", "score_glands"} <= names
    for name in names:
        found = locator.get_component_module_name(name)
        assert isinstance(found, str) and found.startswith("monai_lightseg.metrics"), (name, found)


def test_two_processes_give_the_figure_of_one(tmp_path):
    code = """
import json, os, sys
import torch
import torch.distributed
from monai_lightseg.metrics import ObjectDiceMetric, ObjectF1Metric, ObjectHausdorffMetric

rank, store, out = int(sys.argv[1]), sys.argv[2], sys.argv[3]
torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
images = torch.load(out + ".pt", weights_only=True)
figures = []
for metric in (ObjectF1Metric(), ObjectDiceMetric(), ObjectHausdorffMetric()):
    # Rank 0 has the first image, rank 1 the other two.
    part = slice(0, 1) if rank == 0 else slice(1, 3)
    metric(images["prediction"][part], images["truth"][part])
    figures.append([metric.aggregate("dataset").item(), metric.aggregate("mean").item()])
open(f"{out}_{rank}.json", "w").write(json.dumps(figures))
torch.distributed.destroy_process_group()
"""
    prediction, truth = torch.cat([PREDICTION, TRUTH[1:]]), torch.cat([TRUTH, PREDICTION[1:]])
    torch.save({"prediction": prediction, "truth": truth}, tmp_path / "maps.pt")
    command = [sys.executable, "-c", code]
    arguments = [tmp_path / "store", tmp_path / "maps"]
    workers = [
        subprocess.Popen([*command, str(rank), *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    for worker in workers:
        _, complaint = worker.communicate(timeout=120)
        assert worker.returncode == 0, complaint
    expected = []
    for metric_class in METRICS:
        metric = metric_class()
        metric(prediction, truth)
        expected.append([metric.aggregate("dataset").item(), metric.aggregate("mean").item()])
    for rank in (0, 1):
        figures = json.loads((tmp_path / f"maps_{rank}.json").read_text())
        assert np.array(figures) == pytest.approx(np.array(expected))
