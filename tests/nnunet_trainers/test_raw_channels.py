import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.errors import LightsegError
from nnunet_trainers.raw_channels import TrainingFiles, count_channels, training_files

GREY = np.zeros((6, 9), np.uint8)
CONTENT = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0}, "file_ending": ".png"}


def picture(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(GREY.astype(np.uint16))
    if mode.startswith("P"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            palette = Image.fromarray(GREY, "P")
        colours = range(256) if mode == "P grey" else [255] * 256
        palette.putpalette([value for level in colours for value in (level, level, 0 if mode == "P" else level)])
        return palette
    return Image.fromarray(GREY).convert(mode)


@pytest.mark.parametrize(
    ("ending", "mode"),
    [("png", mode) for mode in ("1", "L", "P", "P grey", "RGB", "RGBA", "I;16")]
    + [("bmp", mode) for mode in ("1", "L", "P", "P grey", "RGB")]
    + [("tif", mode) for mode in ("1", "L", "P", "P grey", "RGB", "RGBA", "I;16", "CMYK")],
)
def test_channels_are_counted_as_nnunet_reads_them(ending: str, mode: str, tmp_path: Path) -> None:
    reader = pytest.importorskip("nnunetv2.imageio.natural_image_reader_writer").NaturalImage2DIO()
    path = tmp_path / f"a.{ending}"
    picture(mode).save(path)
    assert count_channels(path) == len(reader.read_seg(str(path))[0])


def test_what_pillow_cannot_read_is_left_to_nnunet(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    files = TrainingFiles([tmp_path / "a.png"], [[tmp_path / "a.png"], [tmp_path / "missing.png"]], 3)
    assert count_channels(tmp_path / "a.png") is None
    assert files.wrong_labels() == files.wrong_images() == []


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Three cases in order: one file of three channels, one file of three, three files of one."""
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps(CONTENT))
    for case in ("a", "b_0", "c"):
        picture("L").save(tmp_path / "labelsTr" / f"{case}.png")
        for channel in range(3 if case == "c" else 1):
            picture("L" if case == "c" else "RGB").save(tmp_path / "imagesTr" / f"{case}_{channel:04d}.png")
    return tmp_path


def test_all_is_well(raw: Path) -> None:
    files = training_files(raw)
    assert files is not None
    assert [path.name for path in files.labels] == ["a.png", "b_0.png", "c.png"]
    assert [[path.name for path in paths] for paths in files.images] == [
        ["a_0000.png"],
        ["b_0_0000.png"],
        ["c_0000.png", "c_0001.png", "c_0002.png"],
    ]
    assert files.wrong_labels() == files.wrong_images() == []


def test_wrong_files_are_named(raw: Path) -> None:
    picture("RGB").save(raw / "labelsTr" / "b_0.png")
    picture("RGBA").save(raw / "imagesTr" / "a_0000.png")
    (raw / "imagesTr" / "c_0002.png").unlink()
    files = training_files(raw)
    assert files is not None
    assert files.wrong_labels() == [f"{raw}/labelsTr/b_0.png (3 channels)"]
    images = raw / "imagesTr"
    assert files.wrong_images() == [
        f"{images}/a_0000.png (4 channels)",
        f"{images}/c_0000.png + {images}/c_0001.png (2 channels)",
    ]


def test_files_that_dataset_json_names(raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ELSEWHERE", str(tmp_path / "labelsTr"))
    named = {"a": {"images": ["imagesTr/a_0000.png"], "label": "$ELSEWHERE/c.png"}}
    (raw / "dataset.json").write_text(json.dumps(CONTENT | {"dataset": named}))
    files = training_files(raw)
    assert files == TrainingFiles([raw / "labelsTr" / "c.png"], [[raw / "imagesTr" / "a_0000.png"]], 3)


def test_other_datasets_are_left_alone(raw: Path) -> None:
    (raw / "dataset.json").write_text(json.dumps(CONTENT | {"file_ending": ".nii.gz"}))
    assert training_files(raw) is None
    (raw / "dataset.json").unlink()
    assert training_files(raw) is None


@pytest.mark.parametrize("content", ["{", "[]", {}, {**CONTENT, "channel_names": 3}, {**CONTENT, "dataset": {"a": {}}}])
def test_damaged_dataset_json(content: Any, raw: Path) -> None:
    (raw / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(LightsegError, match=r"dataset\.json is no dataset\.json of nnU-Net"):
        training_files(raw)
