import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monai_lightseg.cli.app import app


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    for folder, first in (("predictions", [1, 1]), ("labels", [1, 0])):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.array([first], np.uint8)).save(tmp_path / folder / "a.png")
        Image.fromarray(np.zeros((1, 2), np.uint8)).save(tmp_path / folder / "empty.png")
    return [str(tmp_path / "predictions"), str(tmp_path / "labels")]


def test_table(folders: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", *folders])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "2 images"
    assert lines[1].split() == ["pooled", "per-image", "mean", "images", "left", "out"]
    assert lines[2].split() == ["dice", "0.6667", "0.6667", "1"]
    assert lines[5].split() == ["specificity", "0.6667", "0.5000", "0"]
    assert len(lines) == 7


def test_json(folders: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", *folders, "--json"])
    assert result.exit_code == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    scores = json.loads(result.stdout, parse_constant=refuse)
    assert scores["per_image"]["empty"]["dice"] is None
    assert scores["per_image"]["a"]["dice"] == pytest.approx(2 / 3)
    assert scores["undefined"]["dice"] == 1
    assert set(scores) == {"pooled", "per_image_mean", "undefined", "per_image"}


def test_error(folders: list[str]) -> None:
    (Path(folders[0]) / "a.png").unlink()
    result = CliRunner().invoke(app, ["evaluate", *folders])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {Path(folders[0]) / 'a.png'} is missing")
    assert len(result.stderr.splitlines()) == 1


@pytest.fixture
def gland_folders(tmp_path: Path) -> list[str]:
    labels = np.zeros((20, 30), np.uint8)
    labels[2:12, 2:12], labels[2:12, 12:22] = 1, 2
    for folder, pixels in (("predictions", (labels > 0) * np.uint8(1)), ("instances", labels)):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "testA_1.png")
        Image.fromarray(labels if folder == "instances" else 0 * labels).save(tmp_path / folder / "testB_1.png")
    return [str(tmp_path / "predictions"), str(tmp_path / "instances")]


def test_glands(gland_folders: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", *gland_folders, "--objects", "core-border", "--min-size", "9"])
    assert result.exit_code == 0
    header, *rows, note = result.stdout.splitlines()
    assert header.split() == ["images", "over", "all", "objects", "per-image", "mean"]
    # In A one object for two glands, in B none.
    assert [row.split() for row in rows[:3]] == [
        ["testA", "1", "object_f1", "0.6667", "0.6667"],
        ["testA", "1", "object_dice", "0.6667", "0.6667"],
        ["testA", "1", "object_hausdorff", "10.0000", "10.0000"],
    ]
    assert [row.split()[:3] for row in rows[6:]] == [
        ["total", "2", name] for name in ("object_f1", "object_dice", "object_hausdorff")
    ]
    assert note == "images where only one side has glands, their distance infinite: 1"


def test_glands_as_json(gland_folders: list[str]) -> None:
    arguments = [*gland_folders, "--objects", "instances", "--convention", "pinckaers", "--json"]
    result = CliRunner().invoke(app, ["evaluate", *arguments])
    scores = json.loads(result.stdout)
    assert scores["parts"]["testA"]["dataset"]["object_f1"] == pytest.approx(2 / 3)
    assert scores["total"]["dataset"]["object_hausdorff"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-size", "9"], "give --objects too"),
        (["--convention", "challenge"], "give --objects too"),
        (["--objects", "instances", "--min-size", "9"], "is for --objects core-border"),
    ],
)
def test_options_that_would_do_nothing(gland_folders: list[str], options: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["evaluate", *gland_folders, *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_small_glands_are_dropped_by_default(gland_folders: list[str]) -> None:
    arguments = ["evaluate", *gland_folders, "--objects", "core-border"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0
    # Its one object has 200 pixels.
    assert json.loads(result.stdout)["per_image"]["testA_1"]["object_f1"] == 0
    assert json.loads(CliRunner().invoke(app, [*arguments, "--json", "--min-size", "0"]).stdout)["per_image"][
        "testA_1"
    ]["object_f1"] == pytest.approx(2 / 3)
