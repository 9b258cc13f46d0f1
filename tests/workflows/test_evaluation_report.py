import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from monai_lightseg.atomic import write_text
from monai_lightseg.data import Protocol, load_protocol
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import METRICS
from monai_lightseg.workflows import evaluation_report
from monai_lightseg.workflows.evaluation import Evaluation, evaluate_models
from monai_lightseg.workflows.evaluation_report import write_evaluation_report


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Twelve cases of 20 x 30 pixels: `good` misses one row, `bad` one row more each time; c_11 is empty in all."""
    for name in ("imagesTs", "labelsTs", "good", "bad"):
        (tmp_path / name).mkdir()
    for i in range(12):
        truth, good, bad = (np.zeros((20, 30), np.uint8) for _ in range(3))
        if i < 11:
            truth[:14, :20], good[:13, :20], bad[: 13 - i, :20] = 1, 1, 1
        Image.fromarray(np.full((20, 30, 3), 100, np.uint8)).save(tmp_path / f"imagesTs/c_{i}_0000.png")
        for name, mask in (("labelsTs", truth), ("good", good), ("bad", bad)):
            Image.fromarray(mask).save(tmp_path / f"{name}/c_{i}.png")
    return tmp_path


def evaluation(folders: Path, *names: str, protocol: Protocol | None = None) -> Evaluation:
    labels = folders / "labelsTs"
    return evaluate_models([folders / name for name in names], labels, protocol=protocol, progress=False)


def test_files(folders: Path) -> None:
    report = write_evaluation_report(folders / "out", evaluation(folders, "bad"))
    assert report == folders / "out" / "report.html"
    names = {path.name for path in report.parent.iterdir()}
    pictures = {"dice.png", *(f"worst_{place}.png" for place in range(1, 9))}
    assert names == {"per_image.csv", "summary.json", "report.md", "report.html", *pictures}
    markdown = (report.parent / "report.md").read_text()
    assert all(f"({name})" in markdown for name in pictures)
    html = report.read_text()
    assert html.count("data:image/png") == 9 and "c_10: Dice" in html and "12 images are few" in html


def test_numbers_in_csv_and_json_are_the_scores(folders: Path) -> None:
    of_bad = evaluation(folders, "bad")
    model = of_bad.model
    out = write_evaluation_report(folders / "out", of_bad).parent
    with (out / "per_image.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == list(model.scores.per_image)
    for row in rows:
        expected = model.scores.per_image[row["case"]]
        for name in METRICS:
            assert float(row[name] or "nan") == pytest.approx(expected[name], abs=0, nan_ok=True)
        assert {name: int(row[name]) for name in ("tp", "fp", "tn", "fn")} == model.scores.counts[row["case"]]
    summary = json.loads((out / "summary.json").read_text())
    of_model = summary["models"]["bad"]
    assert summary["protocol"] is None and summary["comparisons"] == []
    assert of_model["pooled"] == model.scores.pooled and of_model["images"] == 12
    assert of_model["undefined"]["dice"] == 1
    for kind, mean in (
        ("pooled", model.scores.pooled["dice"]),
        ("per_image_mean", model.scores.per_image_mean["dice"]),
    ):
        interval = of_model["intervals"][kind]["dice"]
        assert interval["low"] < mean < interval["high"]
        assert math.isclose(interval["mean"], mean)
    assert set(of_model["intervals"]["per_image_mean"]) == set(METRICS)


def test_comparison(folders: Path) -> None:
    out = write_evaluation_report(folders / "out", evaluation(folders, "good", "bad")).parent
    (comparison,) = json.loads((out / "summary.json").read_text())["comparisons"]
    # Ten of eleven differences favour `good`, one is zero.
    assert comparison["other"] == "bad" and comparison["left_out"] == 1
    assert comparison["wilcoxon"]["zeros"] == 1 and comparison["permutation"]["p_value"] == pytest.approx(2 / 2**10)
    text = (out / "report.md").read_text()
    assert "## Comparison" in text and "good against" in text
    with (out / "per_image.csv").open() as stream:
        assert [row["model"] for row in csv.DictReader(stream)] == ["good"] * 12 + ["bad"] * 12


def test_protocol_is_told(folders: Path) -> None:
    protocol = load_protocol("isic2018-random42")
    named = replace(evaluation(folders, "good"), protocol=protocol)
    out = write_evaluation_report(folders / "out", named).parent
    summary = json.loads((out / "summary.json").read_text())
    assert summary["protocol"] == {"name": "isic2018-random42", "sha256": protocol.checksums()}
    html = (out / "report.html").read_text()
    assert protocol.checksums()["test"] in html and protocol.notes[0][:20] in html


def test_all_masks_empty(folders: Path) -> None:
    empty = Image.fromarray(np.zeros((20, 30), np.uint8))
    for folder in ("good", "labelsTs"):
        for path in (folders / folder).iterdir():
            empty.save(path)
    out = write_evaluation_report(folders / "out", evaluation(folders, "good")).parent
    summary = json.loads((out / "summary.json").read_text())
    assert summary["models"]["good"]["pooled"]["dice"] is None
    assert "dice" not in summary["models"]["good"]["intervals"]["pooled"]


def test_nothing_is_overwritten(folders: Path) -> None:
    write_text(folders / "out" / "mine.txt", "mine")
    with pytest.raises(LightsegError, match="out is already there"):
        write_evaluation_report(folders / "out", evaluation(folders, "good"))
    assert [path.name for path in (folders / "out").iterdir()] == ["mine.txt"]


def test_all_or_nothing(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation_report, "write_bytes", full)
    with pytest.raises(LightsegError, match="out cannot be written"):
        write_evaluation_report(folders / "out", evaluation(folders, "good"))
    assert sorted(path.name for path in folders.iterdir()) == ["bad", "good", "imagesTs", "labelsTs"]


def test_image_missing(folders: Path) -> None:
    (folders / "imagesTs" / "c_10_0000.png").unlink()
    with pytest.raises(LightsegError, match=r"imagesTs has no image of c_10"):
        write_evaluation_report(folders / "out", evaluation(folders, "bad"))
    assert not (folders / "out").exists()


def test_images_elsewhere_or_nowhere(folders: Path) -> None:
    (folders / "imagesTs").rename(folders / "elsewhere")
    of_bad = evaluation(folders, "bad")
    without = write_evaluation_report(folders / "without", of_bad).read_text()
    with_images = write_evaluation_report(folders / "with", of_bad, images=folders / "elsewhere").read_text()
    assert (without.count("data:image/png"), with_images.count("data:image/png")) == (1, 9)
