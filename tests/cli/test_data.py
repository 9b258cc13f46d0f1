import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app
from monai_lightseg.data import ids_checksum, load_protocol
from tests.data.fake_glas import ALL, write_glas

IDS = [f"case{number}" for number in range(10)]
PARTS = {"train": IDS[:5], "val": IDS[5:7], "test": IDS[7:9]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ten cases; nnU-Net's folders lie beside it."""
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.setenv(variable, str(tmp_path / variable))
    made = tmp_path / "pictures"
    for kind, shape in (("images", (12, 16, 3)), ("masks", (12, 16))):
        (made / kind).mkdir(parents=True)
        for name in IDS:
            pixels = np.zeros(shape, np.uint8)
            pixels[3:6, 4:8] = 255
            Image.fromarray(pixels).save(made / kind / f"{name}.png")
    return made


def convert(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(
        app, ["data", "convert", str(folder), "--to", "nnunet", "--id", "18", "--name", "X", *options]
    )


def id_files(folder: Path) -> list[str]:
    options: list[str] = []
    for part, ids in PARTS.items():
        (folder / f"{part}.txt").write_text("\n".join(ids))
        options += [f"--{part}-ids", str(folder / f"{part}.txt")]
    return options


def written(dataset: Path) -> dict[str, set[str]]:
    fold = json.loads((dataset / "splits_final.json").read_text())[0]
    tests = {path.stem for path in (dataset / "labelsTs").iterdir()}
    return {"train": set(fold["train"]), "val": set(fold["val"]), "test": tests}


def test_with_id_files(folder: Path, tmp_path: Path) -> None:
    result = convert(folder, *id_files(folder))
    assert result.exit_code == 0, result.output
    dataset = tmp_path / "nnUNet_raw" / "Dataset018_X"
    assert written(dataset) == {part: set(ids) for part, ids in PARTS.items()}
    assert f"wrote {dataset}: 5 train, 2 val, 2 test\n" in result.stdout
    assert "left out: 1 cases" in result.stdout
    assert (tmp_path / "nnUNet_preprocessed" / "Dataset018_X" / "splits_final.json").is_file()


def test_test_ids_alone_leave_nothing_to_train(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "test.txt"
    listed.write_text("\n".join(IDS[:3]))
    out = tmp_path / "external"
    options = ["--to", "datalist", "--test-ids", str(listed), "--out", str(out)]
    result = CliRunner().invoke(app, ["data", "convert", str(folder), *options])
    assert result.exit_code == 0, result.output
    datalist = json.loads((out / "datalist.json").read_text())
    assert [Path(of["image"]).stem for of in datalist["test"]] == IDS[:3]
    assert not datalist.keys() & {"training", "validation"}


def test_without_id_files_the_split_is_seeded_and_said(folder: Path, tmp_path: Path) -> None:
    first, second = (convert(folder, "--overwrite", "--out", str(tmp_path / out)) for out in ("one", "two"))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "seed 42" in first.stdout
    assert "left out" not in first.stdout
    one, two = (written(tmp_path / out / "Dataset018_X") for out in ("one", "two"))
    assert one == two
    assert set().union(*one.values()) == set(IDS)


def test_size(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, "--size", "24x8").exit_code == 0
    with Image.open(next((tmp_path / "nnUNet_raw" / "Dataset018_X" / "imagesTr").iterdir())) as image:
        assert image.size == (8, 24)


def test_limits_draw_the_same_cases_each_time(folder: Path, tmp_path: Path) -> None:
    options = [*id_files(folder), "--limit-train", "2", "--limit-test", "1"]
    assert convert(folder, *options).exit_code == 0
    (folder / "train.txt").write_text("\n".join(reversed(PARTS["train"])))
    assert convert(folder, *options, "--out", str(tmp_path / "again"), "--overwrite").exit_code == 0
    one, two = (written(tmp_path / raw / "Dataset018_X") for raw in ("nnUNet_raw", "again"))
    assert one == two
    order = np.random.default_rng(42).permutation(5)
    assert one["train"] == {PARTS["train"][place] for place in order[:2]}
    assert one["val"] == set(PARTS["val"])
    assert len(one["test"]) == 1


def test_a_limit_beyond_the_cases_takes_all(folder: Path, tmp_path: Path) -> None:
    assert convert(folder, *id_files(folder), "--limit-train", "99").exit_code == 0
    assert written(tmp_path / "nnUNet_raw" / "Dataset018_X")["train"] == set(PARTS["train"])


def test_overwrite_has_to_be_asked_for(folder: Path) -> None:
    assert convert(folder).exit_code == 0
    result = convert(folder)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and "--overwrite" in result.stderr
    assert convert(folder, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    "options",
    [
        *(["--train-ids", "a.txt"], ["--size", "256"], ["--limit-train", "0"], ["--to", "zip"], ["--id", "x"]),
        *(
            ["--protocol", "isic2018-random42", *more]
            for more in (["--val", "2"], ["--test", "2"], ["--limit-val", "1"])
        ),
        ["--to", "datalist", "--out", "made"],
    ],
)
def test_usage_errors(options: list[str], folder: Path, tmp_path: Path) -> None:
    assert convert(folder, *options).exit_code == 2
    assert not (tmp_path / "nnUNet_raw").exists()


def test_no_raw_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_raw")
    result = convert(folder)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: nnUNet_raw is not set: export nnUNet_raw=/path/to/nnUNet_raw, or give --out\n"


def test_no_preprocessed_folder_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    result = convert(folder)
    assert result.exit_code == 0
    [line] = [line for line in result.stderr.splitlines() if line.startswith("nnUNet_preprocessed is not set")]
    copied = Path(line.split("copy ")[1].split(" to the preprocessed dataset")[0])
    assert copied.name == "splits_final.json" and copied.is_file()


def test_bad_files_are_one_line_each(folder: Path, tmp_path: Path) -> None:
    for name in IDS[:2]:
        (folder / "images" / f"{name}.png").write_bytes(b"no picture")
    result = convert(folder)
    assert result.exit_code == 1
    assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 2
    assert not (tmp_path / "nnUNet_raw" / "Dataset018_X").exists()


def plain(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["data", "convert", str(folder), *options])


def test_id_files_exclude_shares_and_protocols(folder: Path, tmp_path: Path) -> None:
    for options in (["--val", "2"], ["--protocol", "isic2018-random42"]):
        assert convert(folder, *id_files(folder), *options).exit_code == 2
    assert not (tmp_path / "nnUNet_raw").exists()


def test_what_is_printed(folder: Path, tmp_path: Path) -> None:
    result = convert(folder)
    lines = result.stdout.splitlines()
    assert lines[0] == "no id files given: divided at random, seed 42"
    assert lines[1] == f"wrote {tmp_path / 'nnUNet_raw' / 'Dataset018_X'}: 6 train, 2 val, 2 test"
    assert re.fullmatch(r"took \d+\.\d s, peak memory \d+ MiB", lines[2])
    assert lines[3:] == ["next: nnUNetv2_plan_and_preprocess -d 18 -c 2d"]
    assert "writing cases" in result.stderr and "Traceback" not in result.stderr
    result = convert(folder, "--out", str(tmp_path / "other raw"), "--overwrite")
    assert f"next: nnUNet_raw='{tmp_path}/other raw' nnUNetv2_plan_and_preprocess -d 18 -c 2d" in result.stdout


@pytest.mark.parametrize(("called", "name"), [("my set-2", "my_set_2"), ("läsion", "l_sion"), ("--", "Cases")])
def test_a_folder_gives_the_name(folder: Path, tmp_path: Path, called: str, name: str) -> None:
    folder = folder.rename(tmp_path / called)
    assert plain(tmp_path / "." / called, "--to", "nnunet", "--id", "3").exit_code == 0
    assert (tmp_path / "nnUNet_raw" / f"Dataset003_{name}").is_dir()


def test_a_known_data_set_gives_the_name(folder: Path, tmp_path: Path) -> None:
    for kind, official in (("images", "Training_Data"), ("masks", "Training_Part1_GroundTruth")):
        (tmp_path / "isic" / f"ISIC-2017_{official}").mkdir(parents=True)
        suffix = ".jpg" if kind == "images" else "_segmentation.png"
        for number, path in enumerate(sorted((folder / kind).iterdir())):
            with Image.open(path) as picture:
                picture.save(tmp_path / "isic" / f"ISIC-2017_{official}" / f"ISIC_{number:07d}{suffix}")
    result = plain(tmp_path / "isic", "--to", "nnunet", "--id", "3")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "nnUNet_raw" / "Dataset003_ISIC2017").is_dir()
    # Of these ten all are in ISIC 2018 too.
    assert result.stderr.startswith("warning: ")


def test_datalist(folder: Path, tmp_path: Path) -> None:
    result = plain(folder, "--to", "datalist", "--out", str(tmp_path / "made"), *id_files(folder), "--size", "8x8")
    assert result.exit_code == 0, result.output
    assert f"wrote {tmp_path / 'made'}: 5 train, 2 val, 2 test\n" in result.stdout
    assert "nnUNet_preprocessed" not in result.output
    content = json.loads((tmp_path / "made" / "datalist.json").read_text())
    assert content["name"] == "pictures" and len(content["training"]) == 5
    command = shlex.split(result.stdout.splitlines()[-1].removeprefix("next: "))
    assert command[0] == "python"
    shown = subprocess.run([sys.executable, *command[1:]], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == str({key: str(tmp_path / f"made/{key}s/case0.png") for key in ("image", "label")})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--to", "nnunet"], "--id"),
        (["--to", "datalist"], "--out"),
        (["--to", "datalist", "--out", "made", "--id", "3"], "--id"),
        (["--to", "datalist", "--out", "made", "--border", "3"], "--border"),
    ],
)
def test_options_of_the_other_format(folder: Path, options: list[str], named: str) -> None:
    result = plain(folder, *options)
    assert result.exit_code == 2
    assert named in result.stderr


def write_protocol(tmp_path: Path, parts: dict[str, list[str]], **changes: object) -> str:
    """A protocol for ten cases; its file."""
    content = load_protocol("ph2-external").content() | {
        "name": "mine",
        "data_set": "folder",
        "image_size": [8, 12],
        "notes": ["first note", "second note"],
        "parts": {name: {"count": len(ids), "sha256": ids_checksum(ids), "ids": ids} for name, ids in parts.items()},
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content | changes))
    return str(path)


def test_protocol(folder: Path, tmp_path: Path) -> None:
    result = convert(folder, "--protocol", write_protocol(tmp_path, PARTS))
    assert result.exit_code == 0, result.output
    dataset = tmp_path / "nnUNet_raw" / "Dataset018_X"
    assert written(dataset) == {part: set(ids) for part, ids in PARTS.items()}
    assert result.stdout.startswith("note: first note\nnote: second note\n")
    assert "left out: 1 cases that are in no list" in result.stdout
    assert "no id files" not in result.stdout and "warning" not in result.stderr
    with Image.open(dataset / "labelsTr" / "case0.png") as label:
        assert label.size == (12, 8)
    done = json.loads((dataset / "lightseg_conversion.json").read_text())
    assert (done["protocol"], done["size"]) == ("mine", [8, 12])
    assert done["sha256"]["test"] == ids_checksum(PARTS["test"])


def test_another_size_than_that_of_the_protocol_is_warned_of(folder: Path, tmp_path: Path) -> None:
    protocol = write_protocol(tmp_path, PARTS)
    result = convert(folder, "--protocol", protocol, "--size", "8x8")
    assert "warning: mine asks for 8x12; figures at another size do not compare" in result.stderr
    with Image.open(tmp_path / "nnUNet_raw/Dataset018_X/labelsTr/case0.png") as label:
        assert label.size == (8, 8)
    # It is not the protocol any more.
    done = tmp_path / "nnUNet_raw/Dataset018_X/lightseg_conversion.json"
    assert json.loads(done.read_text())["protocol"] is None
    assert "warning" not in convert(folder, "--protocol", protocol, "--size", "8x12", "--overwrite").stderr
    assert json.loads(done.read_text())["protocol"] == "mine"
    protocol = write_protocol(tmp_path, PARTS, image_size=None, interpolation=None)
    assert convert(folder, "--protocol", protocol, "--size", "8x12", "--overwrite").exit_code == 0
    assert json.loads(done.read_text())["protocol"] is None


@pytest.mark.parametrize("to", ["nnunet", "datalist"])
def test_protocol_of_folds(folder: Path, tmp_path: Path, to: str) -> None:
    parts = {f"fold{number}": IDS[2 * number : 2 * number + 2] for number in range(5)}
    protocol = write_protocol(tmp_path, parts)
    options = ["--id", "18"] if to == "nnunet" else ["--out", str(tmp_path / "made")]
    result = plain(folder, "--to", to, *options, "--protocol", protocol)
    assert result.exit_code == 0, result.output
    assert ": 5 folds of 2, 2, 2, 2, 2 cases\n" in result.stdout
    if to == "nnunet":
        splits = json.loads((tmp_path / "nnUNet_raw/Dataset018_pictures/splits_final.json").read_text())
        assert [fold["val"] for fold in splits] == list(parts.values())
    else:
        content = json.loads((tmp_path / "made/datalist.json").read_text())
        assert [item["fold"] for item in content["training"]] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


@pytest.mark.parametrize("to", ["nnunet", "datalist"])
def test_protocol_that_only_tests(folder: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    options = ["--id", "18"] if to == "nnunet" else ["--out", str(tmp_path / "made")]
    result = plain(folder, "--to", to, *options, "--protocol", write_protocol(tmp_path, {"test": IDS}))
    assert result.exit_code == 0, result.output
    assert ": 0 train, 0 val, 10 test\n" in result.stdout
    # There is no split to lose.
    assert "nnUNet_preprocessed" not in result.stderr
    last = result.stdout.splitlines()[-1]
    assert ("lightseg nnunet predict -i" if to == "nnunet" else ', True, "test")') in last


def test_a_protocol_that_does_not_fit(folder: Path, tmp_path: Path) -> None:
    result = convert(folder, "--protocol", write_protocol(tmp_path, PARTS | {"test": ["case7", "elsewhere"]}))
    assert result.exit_code == 1
    assert "elsewhere" in result.stderr
    assert convert(folder, "--protocol", "isic2018-random42").exit_code == 1
    assert convert(folder, "--protocol", "isic-random").exit_code == 1
    assert not (tmp_path / "nnUNet_raw").exists()


def test_pairs_of_different_size_are_counted(folder: Path, tmp_path: Path) -> None:
    for name in IDS[:3]:
        with Image.open(folder / "masks" / f"{name}.png") as mask:
            mask.resize((32, 24), Image.Resampling.NEAREST).save(folder / "masks" / f"{name}.png")
    result = convert(folder)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 4
    assert lines[-1].startswith("error: 3 pairs differ in size: give --size HEIGHTxWIDTH")
    result = convert(folder, "--size", "8x8")
    assert result.exit_code == 0
    assert "3 pairs of different size, each resized on its own\n" in result.stdout


def test_glands_for_monai(tmp_path: Path) -> None:
    glas = write_glas(tmp_path / "glas", [*ALL[:85], "testA_1"])
    result = plain(glas, "--to", "datalist", "--out", str(tmp_path / "made"), "--reduce")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "made" / "datalist.json").read_text())
    assert content["name"] == "GlaS" and content["labels"]["1"] == "gland"
    assert [len(content[part]) for part in ("training", "validation", "test")] == [75, 10, 1]
    with Image.open(tmp_path / "made/labels/train_1.png") as label:
        assert label.getextrema() == (0, 1)


@pytest.mark.parametrize("to", ["nnunet", "datalist"])
@pytest.mark.parametrize("place", ["images", "images/out", "masks/../images/out"])
def test_output_among_the_cases_is_refused(folder: Path, to: str, place: str) -> None:
    before = sorted(folder.rglob("*"))
    options = ["--id", "3"] if to == "nnunet" else []
    result = plain(folder, "--to", to, *options, "--out", str(folder / place), "--overwrite")
    assert result.exit_code == 1
    assert f"lies inside {folder / 'images'}, among the cases" in result.stderr
    assert sorted(folder.rglob("*")) == before


def test_output_among_the_folders_of_ph2_is_refused(tmp_path: Path) -> None:
    for name in ("IMD002/IMD002_Dermoscopic_Image/IMD002", "IMD002/IMD002_lesion/IMD002_lesion"):
        path = tmp_path / f"PH2Dataset/PH2 Dataset images/{name}.bmp"
        path.parent.mkdir(parents=True)
        path.touch()
    place = tmp_path / "PH2Dataset/PH2 Dataset images/made"
    result = plain(tmp_path, "--to", "datalist", "--out", str(place))
    assert result.exit_code == 1
    assert "among the cases" in result.stderr


@pytest.mark.parametrize("to", ["nnunet", "datalist"])
def test_output_beside_images_and_masks_does_no_harm(folder: Path, to: str) -> None:
    options = ["--id", "3"] if to == "nnunet" else []
    for _ in range(2):
        result = plain(folder, "--to", to, *options, "--out", str(folder / "made"), "--overwrite")
        assert result.exit_code == 0, result.output
        assert "6 train, 2 val, 2 test" in result.stdout


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_the_folder_above_the_input_is_never_replaced(folder: Path, tmp_path: Path, overwrite: list[str]) -> None:
    result = plain(folder, "--to", "datalist", "--out", str(tmp_path), *overwrite)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") or "\nerror: " in result.stderr
    assert len(list((folder / "images").iterdir())) == 10


@pytest.mark.parametrize("to", ["nnunet", "datalist"])
def test_places_that_cannot_be_written(folder: Path, tmp_path: Path, to: str) -> None:
    (tmp_path / "file").touch()
    options = ["--id", "3"] if to == "nnunet" else []
    # Nobody may make folders in /proc, not even root.
    for place in (tmp_path / "file", tmp_path / "file" / "made", Path("/proc/made")):
        result = plain(folder, "--to", to, *options, "--out", str(place))
        assert result.exit_code == 1
        [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert str(place) in line
    assert not list(tmp_path.glob(".*"))
