from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.evaluation import evaluate_folders


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
    assert scores.per_image["a"] == pytest.approx(
        {"dice": 4 / 6, "iou": 2 / 4, "sensitivity": 2 / 3, "specificity": 2 / 3, "accuracy": 4 / 6}
    )
    assert scores.pooled["dice"] == pytest.approx(6 / 8)
    assert scores.per_image_mean["dice"] == pytest.approx((4 / 6 + 1) / 2)
    assert list(scores.per_image) == ["a", "b"]
    printed = capsys.readouterr()
    assert printed.out == "" and "2/2" in printed.err


def test_without_progress(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_folders(*folders, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("lack", [0, 1])
def test_a_missing_file_is_named(folders: tuple[Path, Path], lack: int) -> None:
    (folders[lack] / "a.png").unlink()
    with pytest.raises(LightsegError, match=r"a\.png is missing \(1 of 2 in ") as error:
        evaluate_folders(*folders)
    assert str(error.value).startswith(str(folders[lack]))


def test_another_size(folders: tuple[Path, Path]) -> None:
    save(folders[0] / "b.png", [[1], [0], [0]])
    with pytest.raises(LightsegError) as error:
        evaluate_folders(*folders)
    assert f"{folders[0] / 'b.png'} is 3 x 1 but {folders[1] / 'b.png'} is 1 x 2" in str(error.value)


def test_a_damaged_mask(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.png").write_bytes(b"no picture")
    with pytest.raises(LightsegError, match=r"predictions/b\.png"):
        evaluate_folders(*folders)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_no_masks(folders: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(LightsegError, match=f"{name} holds no PNG masks"):
        evaluate_folders(tmp_path / name, folders[1])
