import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import load_protocol
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import coverage_warning
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
    assert evaluation.title == "2 images, of no named protocol"


def test_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    predictions, labels = folders
    with pytest.raises(ValueError, match="predictions is empty"):
        evaluate_models([], labels)
    with pytest.raises(LightsegError, match="the same folder is given twice"):
        evaluate_models([predictions, predictions], labels)
    shutil.copytree(predictions, tmp_path / "fewer")
    (tmp_path / "fewer" / "a.png").unlink()
    with pytest.raises(LightsegError, match="fewer and predictions are of other cases"):
        evaluate_models([predictions, tmp_path / "fewer"], labels, only_predicted=True)


def test_warnings(folders: tuple[Path, Path]) -> None:
    evaluation = evaluate_models([folders[0]], folders[1])
    (few,) = evaluation.warnings
    assert few == coverage_warning(2)
    scores = evaluation.models[0].scores
    many = {**dict.fromkeys(map(str, range(300)), (256, 256)), "other": (128, 512)}
    named = replace(
        evaluation,
        models=(
            replace(evaluation.models[0], scores=replace(scores, sizes=many, per_image={key: {} for key in many})),
        ),
        protocol=load_protocol("ph2-external"),
        part="test",
    )
    assert named.warnings == [
        "1 of 301 masks are not 256 x 256 as in ph2-external: scores at another size do not compare"
    ]
    assert named.title == "2 images, test of ph2-external"
    # What counts is how many images have a Dice.
    undefined = scores.undefined | {"dice": 150}
    scores = replace(scores, sizes=many, per_image={key: {} for key in many}, undefined=undefined)
    empty = replace(named, models=(replace(named.models[0], scores=scores),))
    assert empty.warnings[0] == coverage_warning(151)


def test_the_protocol_is_checked_before_masks_are_read(folders: tuple[Path, Path]) -> None:
    (folders[0] / "b.png").write_bytes(b"no picture")
    with pytest.raises(LightsegError, match="in protocol ph2-external: 200 missing"):
        evaluate_models([folders[0]], folders[1], protocol=load_protocol("ph2-external"))


def test_transposed_predictions_are_told(tmp_path: Path) -> None:
    truth = np.zeros((20, 20), np.uint8)
    truth[2:8, 3:18] = 1
    for case in ("a", "b"):
        for folder, mask in (("labels", truth), ("straight", truth), ("turned", truth.T)):
            save(tmp_path / folder / f"{case}.png", mask.tolist())
    straight, turned = (evaluate_models([tmp_path / name], tmp_path / "labels") for name in ("straight", "turned"))
    assert not any("transposed" in warning for warning in straight.warnings)
    assert "the predictions of turned fit far better transposed (pooled Dice 1.000" in turned.warnings[-1]
    save(tmp_path / "turned" / "a.png", truth[:, :10].T.tolist())
    save(tmp_path / "labels" / "a.png", truth[:, :10].tolist())
    with pytest.raises(
        LightsegError, match=r"is 10 x 20 but .* is 20 x 10 .*: was it saved with height and width swap"
    ):
        evaluate_models([tmp_path / "turned"], tmp_path / "labels")
