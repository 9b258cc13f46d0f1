import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from monai_lightseg.cli import data_inspect
from monai_lightseg.cli.app import app
from monai_lightseg.data import ids_checksum, near_duplicates, synthetic_cases

NAMES = "abcdefgh"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight drawn cases; the last image is the first one again, as a JPEG."""
    made = tmp_path / "pictures"
    for kind in ("images", "masks"):
        (made / kind).mkdir(parents=True)
    cases = synthetic_cases(len(NAMES) - 1, size=(64, 96))
    for name, case in zip(NAMES, [*cases, cases[0]], strict=True):
        image, mask = case.read_pair()
        suffix = "jpg" if name == NAMES[-1] else "png"
        Image.fromarray(image).save(made / "images" / f"{name}.{suffix}", quality=60)
        Image.fromarray(mask * np.uint8(255)).save(made / "masks" / f"{name}.png")
    return made


def inspect(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["data", "inspect", str(folder), *options])


def test_report(folder: Path) -> None:
    result = inspect(folder)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split(maxsplit=3)[-1] == "8 cases"
    text = "\n".join(" ".join(line.split()) for line in lines)
    for line in (
        "image sizes 64x96: 8 (height x width)",
        "image files PNG RGB: 7, JPEG RGB: 1",
        "labels of another size none",
        "no lesion none",
        "near-duplicates 2 images in 1 group",
    ):
        assert line in text
    assert lines[-1].endswith("  a, h")
    assert "8/8" in result.stderr


def test_json(folder: Path) -> None:
    result = inspect(folder, "--json")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert summary["image_sizes"] == {"64x96": 8}
    assert [group["ids"] for group in summary["near_duplicates"]] == [["a", "h"]]


def test_all_files_that_cannot_be_read_are_named(folder: Path) -> None:
    bad = [folder / "images" / "a.png", *(folder / "masks" / f"{name}.png" for name in NAMES[1:])]
    for path in bad:
        path.write_bytes(b"")
    result = inspect(folder)
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert [error.split()[1] for error in errors] == list(map(str, bad))
    assert "8 of them cannot be read" in result.stdout
    assert inspect(folder, "--json").exit_code == 1


def test_sheets(folder: Path, tmp_path: Path) -> None:
    sheet, duplicates = tmp_path / "sheet.png", tmp_path / "duplicates.png"
    assert inspect(folder, "--sheet", str(sheet), "--duplicate-sheet", str(duplicates)).exit_code == 0
    with Image.open(sheet) as eight, Image.open(duplicates) as two:
        assert (eight.width - 4, two.width - 4) == (8 * 196, 2 * 196)


def test_sheet_without_the_cases_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    (folder / "masks" / "c.png").write_bytes(b"")
    assert inspect(folder, "--sheet", str(tmp_path / "sheet.png")).exit_code == 1
    with Image.open(tmp_path / "sheet.png") as seven:
        assert seven.width - 4 == 7 * 196


def test_sheets_are_checked_before_anything_is_read(folder: Path, tmp_path: Path) -> None:
    image = folder / "images" / "a.png"
    before = image.read_bytes()
    for option in ("--sheet", "--duplicate-sheet"):
        for path, said in ((tmp_path / "none" / "x.png", "is no folder"), (image, "among the files of the data set")):
            result = inspect(folder, option, str(path))
            assert (result.exit_code, result.stdout) == (1, "")
            assert result.stderr.startswith(f"error: {path}") and said in result.stderr
    assert image.read_bytes() == before


def test_similarity_is_that_of_the_library() -> None:
    assert data_inspect.SIMILARITY == near_duplicates.SIMILARITY


def test_no_duplicates_no_sheet(folder: Path, tmp_path: Path) -> None:
    result = inspect(folder, "--similarity", "1", "--duplicate-sheet", str(tmp_path / "sheet.png"))
    assert result.exit_code == 0
    assert "sheet.png is not written" in result.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_protocol_of_ones_own(folder: Path, tmp_path: Path) -> None:
    shipped = CliRunner().invoke(app, ["data", "protocols", "ph2-external", "--json"])
    content = json.loads(shipped.stdout) | {"name": "mine", "data_set": "folder"}
    parts = {"train": "abcd", "val": "ef", "test": "gh"}

    content["parts"] = {
        name: {"count": len(ids), "sha256": ids_checksum(ids), "ids": list(ids)} for name, ids in parts.items()
    }
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(content))
    result = inspect(folder, "--protocol", str(path))
    assert result.exit_code == 0, result.output
    assert "train: 4, val: 2, test: 2; near-duplicates between these: 2 images in 1 group" in result.stdout
    assert "a (train), h (test)" in result.stdout
    result = inspect(folder, "--protocol", "isic2018-random42")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "options",
    [
        ["--sheet", "sheet.jpg"],
        ["--sheet", "a.png", "--duplicate-sheet", "a.png"],
        ["--similarity", "1.1"],
        ["--seed", "-1"],
    ],
)
def test_usage_errors(folder: Path, options: list[str]) -> None:
    assert inspect(folder, *options).exit_code == 2


def test_no_data_set(tmp_path: Path) -> None:
    result = inspect(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
