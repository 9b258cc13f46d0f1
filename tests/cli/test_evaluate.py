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
