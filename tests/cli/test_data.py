import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app

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
    assert result.stderr.startswith("error: ")
    assert convert(folder, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    "options", [["--train-ids", "a.txt"], ["--size", "256"], ["--limit-train", "0"], ["--to", "zip"], ["--id", "x"]]
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
    assert "splits_final.json" in result.stderr


def test_bad_files_are_one_line_each(folder: Path, tmp_path: Path) -> None:
    for name in IDS[:2]:
        (folder / "images" / f"{name}.png").write_bytes(b"no picture")
    result = convert(folder)
    assert result.exit_code == 1
    assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 2
    assert not (tmp_path / "nnUNet_raw" / "Dataset018_X").exists()
