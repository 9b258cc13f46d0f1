import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import load_protocol
from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.evaluation import evaluate_folders, evaluate_models


def save(path: Path, rows: list[list[int]]) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.array(rows, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    predictions, labels = tmp_path / "predictions", tmp_path / "labels"
    # Case a: 2 true positives, 1 false positive, 1 false negative, 2 true negatives. Case b: all right.
    save(predictions / "a.png", [[1, 1, 1], [0, 0, 0]])
    save(labels / "a.png", [[255, 255, 0], [255, 0, 0]])
    save(predictions / "b.png", [[255, 0]])
    save(labels / "b.png", [[1, 0]])
    (predictions / "plans.json").write_text("{}")  # nnU-Net leaves such files beside its masks
    return predictions, labels


def test_against_counts_by_hand(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    scores = evaluate_folders(*folders)
    assert scores.counts["a"] == {"tp": 2, "fp": 1, "tn": 2, "fn": 1}
    expected = {"dice": 4 / 6, "iou": 2 / 4, "sensitivity": 2 / 3, "specificity": 2 / 3, "accuracy": 4 / 6}
    assert {name: scores.per_image["a"][name] for name in expected} == pytest.approx(expected)
    assert scores.pooled["dice"] == pytest.approx(6 / 8)
    assert scores.per_image_mean["dice"] == pytest.approx((4 / 6 + 1) / 2)
    assert list(scores.per_image) == ["a", "b"]
    printed = capsys.readouterr()
    assert printed.out == "" and "2/2" in printed.err


def test_without_progress(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_folders(*folders, progress=False)
    assert capsys.readouterr().err == ""


def test_another_size(folders: tuple[Path, Path]) -> None:
    save(folders[0] / "b.png", [[1], [0], [0]])
    with pytest.raises(LightsegError) as error:
        evaluate_folders(*folders)
    assert f"{folders[0] / 'b.png'} is 3 x 1 but {folders[1] / 'b.png'} is 1 x 2" in str(error.value)


def test_a_damaged_mask(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.png").write_bytes(b"no picture")
    with pytest.raises(LightsegError, match=r"predictions/b\.png"):
        evaluate_folders(*folders)


def test_models_are_named_after_their_folders(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, labels = folders
    for name in ("x", "y"):
        shutil.copytree(predictions, tmp_path / name / "predictions")
    evaluation = evaluate_models([tmp_path / "x" / "predictions", tmp_path / "y" / "predictions"], labels)
    assert [model.name for model in evaluation.models] == ["x/predictions", "y/predictions"]
    evaluation = evaluate_models([predictions, labels], labels)
    assert [model.name for model in evaluation.models] == ["predictions", "labels"]
    assert [comparison.other for comparison in evaluation.comparisons] == ["labels"]


def test_the_protocol_is_checked_before_masks_are_read(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.png").write_bytes(b"no picture")
    with pytest.raises(LightsegError, match="in protocol ph2-external: 200 missing"):
        evaluate_models([folders[0]], folders[1], protocol=load_protocol("ph2-external"))
