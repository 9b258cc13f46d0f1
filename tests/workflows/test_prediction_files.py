from pathlib import Path

import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, SaveImaged
from PIL import Image

from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.evaluation import evaluate_folders
from monai_lightseg.workflows.prediction_files import find_image, match_predictions, pictures_by_stem


def masks(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(4, 6, dtype=np.uint8)).save(folder / name)
    return folder


def pairs(predictions: Path, labels: Path) -> list[tuple[str, str, str]]:
    found = match_predictions(predictions, labels)
    return [(of.id, str(of.prediction.relative_to(predictions)), str(of.label.relative_to(labels))) for of in found]


def test_nnunet(tmp_path: Path) -> None:
    predictions = masks(tmp_path / "p", "b.png", "a.png")
    (predictions / "dataset.json").write_text("{}")
    (predictions / ".hidden.png").write_text("")
    labels = masks(tmp_path / "l", "a.png", "b.png")
    assert pairs(predictions, labels) == [("a", "a.png", "a.png"), ("b", "b.png", "b.png")]


def test_official_masks_and_other_formats(tmp_path: Path) -> None:
    predictions = masks(tmp_path / "p", "ISIC_1.bmp", "x_pred.TIF")
    labels = masks(tmp_path / "l", "ISIC_1_segmentation.png", "x.png")
    assert pairs(predictions, labels) == [
        ("ISIC_1", "ISIC_1.bmp", "ISIC_1_segmentation.png"),
        ("x", "x_pred.TIF", "x.png"),
    ]


def test_folders_per_case(tmp_path: Path) -> None:
    predictions = masks(tmp_path / "p", "a/a_trans.png", "b/b_seg.png", "c/other.png")
    labels = masks(tmp_path / "l", "a.png", "b.png")
    assert [of[1] for of in pairs(predictions, labels)] == ["a/a_trans.png", "b/b_seg.png"]


@pytest.mark.parametrize(
    "ending", ["_segmentation", "_mask", "_lesion", "_anno", "_trans", "_seg", "_pred", "_0000_trans"]
)
def test_endings(tmp_path: Path, ending: str) -> None:
    predictions, labels = masks(tmp_path / "p", "x.png"), masks(tmp_path / "l", f"x{ending}.png")
    assert pairs(predictions, labels) == [("x", "x.png", f"x{ending}.png")]
    assert pairs(labels, predictions) == [("x", f"x{ending}.png", "x.png")]


def test_equal_stems_belong_together_whatever_they_end_in(tmp_path: Path) -> None:
    names = ("a.png", "a_seg.png", "skin_lesion.png")
    predictions, labels = masks(tmp_path / "p", *names), masks(tmp_path / "l", *names)
    assert [of[0] for of in pairs(predictions, labels)] == ["a", "a_seg", "skin_lesion"]


def test_a_folder_is_of_its_case_only(tmp_path: Path) -> None:
    predictions = masks(tmp_path / "p", "1/1_seg.png", "1/10.png")
    assert pairs(predictions, masks(tmp_path / "l", "1.png")) == [("1", "1/1_seg.png", "1.png")]


def test_only_predicted(tmp_path: Path) -> None:
    predictions, labels = masks(tmp_path / "p", "b.png"), masks(tmp_path / "l", "a.png", "b.png", "c.png")
    assert [of.id for of in match_predictions(predictions, labels, only_predicted=True)] == ["b"]
    masks(tmp_path / "p", "x.png")
    with pytest.raises(LightsegError, match="l has no file for x"):
        match_predictions(predictions, labels, only_predicted=True)
    with pytest.raises(LightsegError, match="no case in common"):
        match_predictions(masks(tmp_path / "q", "x.png"), labels, only_predicted=True)


def test_images_of_cases(tmp_path: Path) -> None:
    labels = masks(tmp_path / "l", "img_0000.png", "b_mask.png", "skin_lesion.png", "c.png")
    images = masks(tmp_path / "i", "img_0000.png", "b.png", "skin_lesion.png", "c_0000.png")
    by_stem = pictures_by_stem(images)
    found = {match.id: find_image(by_stem, match) for match in match_predictions(labels, labels)}
    assert {case: path.name for case, path in found.items() if path} == {
        "img_0000": "img_0000.png",
        "b_mask": "b.png",
        "skin_lesion": "skin_lesion.png",
        "c": "c_0000.png",
    }
    assert find_image({}, match_predictions(labels, labels)[0]) is None


@pytest.mark.parametrize("extension", [".png", ".nii.gz"])
@pytest.mark.parametrize("separate", [True, False])
def test_what_monai_saves(tmp_path: Path, extension: str, separate: bool) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for case in ("a", "b_2"):
        truth = (rng.random((5, 9)) > 0.5).astype(np.uint8)
        Image.fromarray(truth).save(tmp_path / "labels" / f"{case}.png")
        Image.fromarray(truth * 200).save(tmp_path / "images" / f"{case}.png")
        load = Compose([LoadImaged("image"), EnsureChannelFirstd("image")])
        sample = load({"image": str(tmp_path / "images" / f"{case}.png")})
        sample["image"] = (sample["image"] > 100).to(torch.uint8)
        save = SaveImaged(
            "image",
            output_dir=str(tmp_path / "predictions"),
            output_ext=extension,
            separate_folder=separate,
            resample=False,
            print_log=False,
        )
        save(sample)
    scores = evaluate_folders(tmp_path / "predictions", tmp_path / "labels", progress=False)
    assert list(scores.per_image) == ["a", "b_2"]
    assert scores.pooled["accuracy"] == 1


@pytest.mark.parametrize("lack", ["p", "l"])
def test_a_missing_case_is_named(tmp_path: Path, lack: str) -> None:
    folders = {name: masks(tmp_path / name, "a.png", "b.png") for name in "pl"}
    (folders[lack] / "a.png").unlink()
    other = folders["l" if lack == "p" else "p"]
    with pytest.raises(LightsegError) as error:
        match_predictions(folders["p"], folders["l"])
    assert str(error.value) == (
        f"{folders[lack]} has no file for a, which is {other / 'a.png'} (1 of 2 are missing): "
        "give both folders the same cases"
    )


def test_two_files_of_one_case(tmp_path: Path) -> None:
    predictions = masks(tmp_path / "p", "a_pred.png", "a_seg.png")
    with pytest.raises(LightsegError, match=r"a_seg\.png and .*a_pred\.png are of one case, a: keep one"):
        match_predictions(predictions, masks(tmp_path / "l", "a.png"))
    predictions = masks(tmp_path / "q", "a.png", "a.bmp")
    with pytest.raises(LightsegError, match=r"a\.png and .*a\.bmp are of one case, a: keep one"):
        match_predictions(predictions, masks(tmp_path / "l", "a.png"))


def test_no_masks(tmp_path: Path) -> None:
    labels = masks(tmp_path / "l", "a.png")
    (tmp_path / "empty").mkdir()
    for path, message in (("nowhere", "does not exist"), ("empty", "holds no masks"), ("l/a.png", "is a file")):
        with pytest.raises(LightsegError, match=f"{path} {message}"):
            match_predictions(tmp_path / path, labels)
