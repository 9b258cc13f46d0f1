"""Scores of binary masks against nnU-Net's own evaluation of the same files."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("nnunetv2")

from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder_simple

from monai_lightseg.metrics import BinaryScores, score_binary_masks
from tests.metrics.mask_sets import with_empty

OURS = {"Dice": "dice", "IoU": "iou"}
COUNTS = {"TP": "tp", "FP": "fp", "TN": "tn", "FN": "fn"}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[BinaryScores, dict[str, Any]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("predictions", "labels")]
    cases = with_empty()
    for case_id, *masks in cases:
        for folder, mask in zip(folders, masks, strict=True):
            Image.fromarray(mask).save(folder / f"{case_id}.png")
    compute_metrics_on_folder_simple(str(folders[1]), str(folders[0]), [1], num_processes=1)
    return score_binary_masks(cases), json.loads((folders[0] / "summary.json").read_text())


def of_case(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {Path(case["prediction_file"]).stem: case["metrics"]["1"] for case in summary["metric_per_case"]}


def test_each_image(both: tuple[BinaryScores, dict[str, Any]]) -> None:
    scores, summary = both
    theirs = of_case(summary)
    assert theirs.keys() == scores.per_image.keys()
    for case_id, expected in theirs.items():
        for name, ours in OURS.items():
            assert scores.per_image[case_id][ours] == pytest.approx(expected[name], rel=1e-6, nan_ok=True)
        assert scores.counts[case_id] == {ours: expected[name] for name, ours in COUNTS.items()}


def test_means_leave_out_the_same_images(both: tuple[BinaryScores, dict[str, Any]]) -> None:
    scores, summary = both
    for name, ours in OURS.items():
        assert scores.per_image_mean[ours] == pytest.approx(summary["mean"]["1"][name], rel=1e-6)
        left_out = [case_id for case_id, values in of_case(summary).items() if math.isnan(values[name])]
        assert left_out == ["nothing there"]
        assert scores.undefined[ours] == 1


def test_pooled_from_the_counts_of_the_summary(both: tuple[BinaryScores, dict[str, Any]]) -> None:
    scores, summary = both
    tp, fp, fn = (sum(case[name] for case in of_case(summary).values()) for name in ("TP", "FP", "FN"))
    assert scores.pooled["dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn), rel=1e-12)
    assert scores.pooled["iou"] == pytest.approx(tp / (tp + fp + fn), rel=1e-12)
