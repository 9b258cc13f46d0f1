import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from monai_lightseg.cli.app import app
from monai_lightseg.cli.evaluate import TOLERANCE
from monai_lightseg.data import load_protocol
from monai_lightseg.metrics import EMPTY_MASKS, SURFACE_TOLERANCE


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
    assert lines[0] == "2 images, of no named protocol"
    head = "pooled     95 % interval  per-image mean     95 % interval  images left out"
    assert " ".join(lines[1].split()) == " ".join(head.split())
    dice = lines[2].split()
    # One image has a Dice, so its mean has no interval.
    assert (dice[0], dice[1], dice[-4:]) == ("dice", "0.6667", ["0.6667", "not", "known", "1"])
    specificity = lines[6].split()
    assert (specificity[:2], specificity[5]) == (["specificity", "0.6667"], "0.5000")
    assert lines[9].split()[:2] == ["hd95", "0.9500"]
    assert lines[11:] == ["missed lesions: 0, false alarms: 0", EMPTY_MASKS]
    assert result.stderr.count("warning: ") == 1


def test_tolerance(folders: list[str]) -> None:
    # The command must not import numpy to show its help.
    assert TOLERANCE == SURFACE_TOLERANCE

    def surface_dice(*options: str) -> float:
        result = CliRunner().invoke(app, ["evaluate", *folders, "--json", *options])
        return json.loads(result.stdout)["models"]["predictions"]["per_image"]["a"]["surface_dice"]

    assert surface_dice("--tolerance", "0") < surface_dice() == 1
    result = CliRunner().invoke(app, ["evaluate", *folders, "--tolerance", "inf"])
    assert result.exit_code == 2 and "is a number of pixels" in result.stderr


def test_only_predicted(folders: list[str]) -> None:
    (Path(folders[0]) / "empty.png").unlink()
    assert CliRunner().invoke(app, ["evaluate", *folders]).exit_code == 1
    result = CliRunner().invoke(app, ["evaluate", *folders, "--only-predicted"])
    assert result.exit_code == 0 and result.stdout.startswith("1 image, ")


def test_comparison_and_report(folders: list[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for number in range(4):
        for folder in folders:
            Image.fromarray(np.array([[1, number % 2 if folder == folders[0] else 0]], np.uint8)).save(
                Path(folder) / f"more_{number}.png"
            )
    out = tmp_path / "report"
    result = CliRunner().invoke(app, ["evaluate", *folders, "--compare", folders[1], "--out", str(out)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-6] == "predictions against labels, dice per image, 1 images left out:"
    assert lines[-5].startswith("  means 0.8000 and 1.0000, difference -0.2000 (")
    assert lines[-4].startswith("  pooled difference -")
    assert lines[-2].startswith("  sign-flip permutation: p 0.25, by Holm 0.25; Cohen's d_z -")
    assert lines[-1] == f"wrote {out / 'report.html'}"
    assert (out / "report.html").is_file()
    result = CliRunner().invoke(app, ["evaluate", *folders, "--compare", folders[1], "--json"])
    assert json.loads(result.stdout)["comparisons"][0]["other"] == "labels"
    result = CliRunner().invoke(app, ["evaluate", *folders, "--compare", folders[0]])
    assert result.exit_code == 1 and "the same folder is given twice" in result.stderr


def test_protocol(folders: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", *folders, "--protocol", "isic2018-random42"])
    assert result.exit_code == 1
    assert "in protocol isic2018-random42: 520 missing" in result.stderr
    for folder in folders:
        mask = Path(folder) / "a.png"
        for case in load_protocol("ph2-external").ids("test"):
            shutil.copy(mask, Path(folder) / f"{case}.png")
        mask.unlink()
        (Path(folder) / "empty.png").unlink()
    result = CliRunner().invoke(app, ["evaluate", *folders, "--protocol", "ph2-external"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("200 images, test of ph2-external\n")
    assert "warning: 200 of 200 masks are not 256 x 256 as in ph2-external" in result.stderr


def test_missed_lesions_and_false_alarms(folders: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", folders[0], folders[0]])
    assert "missed lesions: 0, false alarms: 0" in result.stdout.splitlines()
    Image.fromarray(np.ones((1, 2), np.uint8)).save(Path(folders[1]) / "empty.png")
    result = CliRunner().invoke(app, ["evaluate", *folders])
    assert "missed lesions: 1, false alarms: 0" in result.stdout.splitlines()
    result = CliRunner().invoke(app, ["evaluate", *folders[::-1]])
    assert "missed lesions: 0, false alarms: 1" in result.stdout.splitlines()


def test_json(folders: list[str]) -> None:
    result = CliRunner().invoke(app, ["evaluate", *folders, "--json"])
    assert result.exit_code == 0

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    summary = json.loads(result.stdout, parse_constant=refuse)
    assert summary["comparisons"] == [] and summary["protocol"] is None and len(summary["warnings"]) == 1
    (scores,) = summary["models"].values()
    assert scores["per_image"]["empty"]["dice"] is None
    assert scores["per_image"]["a"]["dice"] == pytest.approx(2 / 3)
    assert scores["undefined"]["dice"] == 1
    assert scores["counts"]["a"] == {"tp": 1, "fp": 1, "tn": 0, "fn": 0}
    assert (scores["missed"], scores["false_alarms"], scores["surface_tolerance"]) == (0, 0, 2)
    assert scores["sizes"]["a"] == [1, 2] and set(scores["intervals"]) == {"pooled", "per_image_mean"}


def test_error(folders: list[str]) -> None:
    (Path(folders[0]) / "a.png").unlink()
    result = CliRunner().invoke(app, ["evaluate", *folders])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {folders[0]} has no file for a")
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
        (["--objects", "instances", "--out", "x"], "is for masks"),
        (["--objects", "instances", "--compare", "x"], "is for masks"),
        (["--images", "x"], "give --out too"),
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
