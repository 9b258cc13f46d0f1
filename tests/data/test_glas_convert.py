import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app
from monai_lightseg.data import (
    GlasCase,
    ReducedCase,
    Split,
    core_border_labels,
    read_glas,
    read_labels,
    synthetic_cases,
    write_nnunet_raw,
)
from monai_lightseg.errors import LightsegError

from .fake_glas import ALL, VALIDATION, labels_of, write_glas, write_grades

FEW = ["train_1", "train_2", "testA_1", "testB_1"]
SPLIT = Split(("train_1",), ("train_2",), ("testA_1", "testB_1"))


@pytest.fixture(autouse=True)
def no_nnunet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.delenv(variable, raising=False)


def written(tmp_path: Path, cases=None, **changes) -> Path:
    cases = cases or read_glas(write_glas(tmp_path / "glas", FEW))
    settings = {"dataset_id": 20, "name": "GlaS", "raw": tmp_path / "raw", "border": 2, "progress": False}
    return write_nnunet_raw(cases, SPLIT, **settings | changes).folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_core_border_and_instances(tmp_path):
    dataset = written(tmp_path)
    assert json.loads((dataset / "dataset.json").read_text())["labels"] == {"background": 0, "core": 1, "border": 2}
    for part, names in {"Tr": FEW[:2], "Ts": FEW[2:]}.items():
        for kind in ("labels", "instances"):
            assert sorted(path.stem for path in (dataset / f"{kind}{part}").iterdir()) == sorted(names)
        for name in names:
            instances = pixels(dataset / f"instances{part}" / f"{name}.png")
            assert instances.dtype == np.uint8
            np.testing.assert_array_equal(instances, labels_of(name))
            np.testing.assert_array_equal(
                pixels(dataset / f"labels{part}" / f"{name}.png"), core_border_labels(labels_of(name), 2)
            )


@pytest.mark.parametrize("border", [0, None])
def test_one_class_of_glands(tmp_path, border):
    dataset = written(tmp_path, border=border, foreground="gland")
    assert json.loads((dataset / "dataset.json").read_text())["labels"] == {"background": 0, "gland": 1}
    np.testing.assert_array_equal(pixels(dataset / "labelsTr/train_1.png"), labels_of("train_1") > 0)
    assert (dataset / "instancesTs").exists() == (border == 0)


def test_the_border_is_cut_after_resizing(tmp_path):
    dataset = written(tmp_path, size=(20, 24), border=3)
    instances = pixels(dataset / "instancesTr/train_1.png")
    np.testing.assert_array_equal(
        instances, Image.fromarray(labels_of("train_1")).resize((24, 20), Image.Resampling.NEAREST)
    )
    np.testing.assert_array_equal(pixels(dataset / "labelsTr/train_1.png"), core_border_labels(instances, 3))


def with_numbers(tmp_path: Path, factor: int) -> list[GlasCase]:
    folder = write_glas(tmp_path / "glas", FEW, annotation="png")
    tif = Image.fromarray(labels_of("train_1").astype(np.int32) * factor)
    tif.save(folder / "labels.tif")
    cases = read_glas(folder)
    return [GlasCase("train_1", cases[0].image_path, folder / "labels.tif", "train"), *cases[1:]]


def test_many_objects_take_sixteen_bits(tmp_path):
    dataset = written(tmp_path, with_numbers(tmp_path, 16000))
    np.testing.assert_array_equal(
        read_labels(dataset / "instancesTr/train_1.png"), labels_of("train_1") * np.int32(16000)
    )
    assert pixels(dataset / "instancesTr/train_2.png").dtype == np.uint8


def test_too_many_objects(tmp_path):
    with pytest.raises(LightsegError, match="train_1 has an object with the number 80000"):
        written(tmp_path, with_numbers(tmp_path, 20000))
    assert list((tmp_path / "raw").iterdir()) == []


def test_negative_border(tmp_path):
    with pytest.raises(LightsegError, match="border is -1"):
        written(tmp_path, border=-1)


def test_masks_are_written_as_before(tmp_path):
    cases = synthetic_cases(4, size=(32, 40))
    split = Split((cases[0].id,), (cases[1].id,), (cases[2].id,))
    dataset = write_nnunet_raw(cases, split, dataset_id=1, name="Drawn", raw=tmp_path, progress=False).folder
    np.testing.assert_array_equal(pixels(dataset / f"labelsTr/{cases[0].id}.png"), cases[0].read_pair()[1])
    assert not list(dataset.glob("instances*"))


def test_reduced_cases(tmp_path):
    cases = read_glas(write_glas(tmp_path / "glas", FEW))
    dataset = written(tmp_path, [ReducedCase(case) for case in cases])
    done = json.loads((dataset / "lightseg_conversion.json").read_text())
    assert (done["reduced"], done["border"], done["size"]) == (True, 2, None)
    assert pixels(dataset / "imagesTr/train_1_0000.png").shape == (26, 32, 3)
    assert set(np.unique(pixels(dataset / "instancesTr/train_1.png"))) == {0, 1, 3, 4}


def test_nnunet_finds_the_dataset_whole(tmp_path, capsys):
    pytest.importorskip("nnunetv2")
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

    verify_dataset_integrity(str(written(tmp_path)), 1)
    assert "verify_dataset_integrity Done" in capsys.readouterr().out


def convert(folder: Path, *options: str) -> Result:
    command = ["data", "convert", str(folder), "--to", "nnunet", "--id", "20", "--name", "GlaS"]
    return CliRunner().invoke(app, [*command, "--out", str(folder.parent / "raw"), *options])


def test_the_command_takes_the_split_of_the_paper(tmp_path):
    folder = write_glas(tmp_path / "glas", [*ALL[:85], "testA_7", "testB_11"])
    result = convert(folder)
    assert result.exit_code == 0, result.output
    assert "divided as in the GlaS paper" in result.stdout
    assert "75 train, 10 val, 2 test" in result.stdout
    dataset = tmp_path / "raw/Dataset020_GlaS"
    fold = json.loads((dataset / "splits_final.json").read_text())[0]
    assert fold["val"] == [f"train_{number}" for number in VALIDATION]
    assert json.loads((dataset / "dataset.json").read_text())["numTraining"] == 85
    # The default border is the paper's: 13 x 13 ones.
    np.testing.assert_array_equal(
        pixels(dataset / "labelsTs/testA_7.png"), core_border_labels(labels_of("testA_7"), border=6)
    )


def id_files(folder: Path) -> list[str]:
    options = []
    for part, ids in {"train": FEW[:1], "val": FEW[1:2], "test": FEW[2:]}.items():
        (folder / f"{part}.txt").write_text("\n".join(ids))
        options += [f"--{part}-ids", str(folder / f"{part}.txt")]
    return options


def test_id_files_border_and_reduction(tmp_path):
    folder = write_glas(tmp_path / "glas", FEW, "jpg", "png")
    result = convert(folder, *id_files(folder), "--border", "0", "--reduce", "--limit-test", "1")
    assert result.exit_code == 0, result.output
    dataset = tmp_path / "raw/Dataset020_GlaS"
    assert json.loads((dataset / "dataset.json").read_text())["labels"] == {"background": 0, "gland": 1}
    assert pixels(dataset / "labelsTr/train_1.png").shape == (26, 32)
    assert len(list((dataset / "instancesTs").iterdir())) == 1


def test_a_protocol_is_not_reduced(tmp_path):
    result = convert(write_glas(tmp_path / "glas", ALL), "--protocol", "glas-official", "--reduce")
    assert result.exit_code == 2
    assert "--reduce" in result.stderr and "says the size" in result.stderr
    assert not (tmp_path / "raw").exists()


def test_without_the_validation_images_id_files_are_needed(tmp_path):
    result = convert(write_glas(tmp_path / "glas", FEW))
    assert result.exit_code == 1
    assert "give lists of ids" in result.stderr


def test_a_random_split_of_glas_is_refused(tmp_path):
    result = convert(write_glas(tmp_path / "glas", FEW), "--val", "0.5")
    assert result.exit_code == 2
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("options", [["--border", "3"], ["--reduce"]])
def test_options_for_glands_are_refused_for_masks(tmp_path, options):
    for kind in ("images", "masks"):
        (tmp_path / "plain" / kind).mkdir(parents=True)
        Image.new("L", (8, 8)).save(tmp_path / "plain" / kind / "a.png")
    result = convert(tmp_path / "plain", *options)
    assert result.exit_code == 2
    assert "GlaS only" in result.output


def test_nothing_is_left_of_a_bad_folder(tmp_path):
    folder = write_glas(tmp_path / "glas", FEW)
    write_grades(folder, [f"{name},benign" for name in FEW], "name,grade")
    Image.new("RGB", (48, 40)).save(folder / "testA_1_anno.bmp")
    result = convert(folder, *id_files(folder))
    assert result.exit_code == 1
    assert f"error: {folder / 'testA_1_anno.bmp'} has the colour mode RGB" in result.stderr
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.real
@pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")
def test_real_official_folder_reduces_to_the_labels_of_the_reduced_copy(tmp_path):
    glas = Path(os.environ["LIGHTSEG_DATA"]) / "glas"
    split = Split(("train_1",), ("train_2",), ("testA_2", "testB_20"))
    cases = [ReducedCase(case) for case in read_glas(glas / "Warwick QU Dataset (Released 2016_07_08)")]
    settings = {"dataset_id": 20, "name": "GlaS", "raw": tmp_path, "border": 6, "progress": False}
    dataset = write_nnunet_raw(cases, split, **settings).folder
    for path in sorted(dataset.glob("instancesT?/*.png")):
        np.testing.assert_array_equal(pixels(path), pixels(glas / "reduced" / f"{path.stem}_anno.png"))
