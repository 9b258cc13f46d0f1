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
from monai_lightseg.workflows.evaluation_report import evaluate_and_report, write_evaluation_report


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
    assert html.count("data:image/png") == 9 and "c_10: Dice" in html and "Warning: " in html


def test_rows_of_the_report(folders: Path) -> None:
    of_both = evaluation(folders, "good", "bad")
    text = write_evaluation_report(folders / "out", of_both).with_name("report.md").read_text()
    for model in of_both.models:
        scores, intervals = model.scores, model.intervals
        for name in ("dice", "specificity"):
            label = name.replace("_", "\\_")
            assert (
                f"| {label} | {scores.pooled[name]:.4f} | {intervals.pooled[name].ends} "
                f"| {scores.per_image_mean[name]:.4f} | {intervals.per_image_mean[name].ends} "
                f"| {scores.undefined[name]} |"
            ) in text
    (of,) = of_both.comparisons
    assert of.pooled is not None
    assert (
        f"| bad | {of.mean:.4f} | {of.other_mean:.4f} "
        f"| {of.permutation.difference.estimate:+.4f} ({of.permutation.difference.ends}) "
        f"| {of.pooled.estimate:+.4f} ({of.pooled.ends}) "
        f"| {of.wilcoxon.p_value:.2g} ({of.wilcoxon_adjusted:.2g}) | {of.wilcoxon.effect:.4f} "
        f"| {of.permutation.p_value:.2g} ({of.permutation_adjusted:.2g}) | {of.permutation.effect:.4f} | 1 | 0 | 1 |"
    ) in text
    assert of.mean > of.other_mean and "positive where good is better" in text


def test_numbers_in_csv_and_json_are_the_scores(folders: Path) -> None:
    of_bad = evaluation(folders, "bad")
    (model,) = of_bad.models
    out = write_evaluation_report(folders / "out", of_bad).parent
    with (out / "per_image.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == list(model.scores.per_image)
    for row in rows:
        expected = model.scores.per_image[row["case"]]
        for name in METRICS:
            assert float(row[name] or "nan") == pytest.approx(expected[name], abs=0, nan_ok=True)
        assert {name: int(row[name]) for name in ("tp", "fp", "tn", "fn")} == model.scores.counts[row["case"]]
        assert (row["height"], row["width"]) == ("20", "30")
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
        assert math.isclose(interval["estimate"], mean)
    assert set(of_model["intervals"]["per_image_mean"]) == set(METRICS)


def test_comparison(folders: Path) -> None:
    out = write_evaluation_report(folders / "out", evaluation(folders, "good", "bad")).parent
    (comparison,) = json.loads((out / "summary.json").read_text())["comparisons"]
    # Ten of eleven differences favour `good`, one is zero.
    assert (comparison["model"], comparison["other"], comparison["undefined"]) == ("good", "bad", 1)
    assert comparison["wilcoxon"]["zeros"] == 1 and comparison["permutation"]["p_value"] == pytest.approx(2 / 2**10)
    text = (out / "report.md").read_text()
    assert "## Comparison" in text and "good against" in text
    with (out / "per_image.csv").open() as stream:
        assert [row["model"] for row in csv.DictReader(stream)] == ["good"] * 12 + ["bad"] * 12


def test_protocol_is_told(folders: Path) -> None:
    protocol = load_protocol("ph2-5fold")
    named = replace(evaluation(folders, "good"), protocol=protocol, part="fold1")
    out = write_evaluation_report(folders / "out", named).parent
    summary = json.loads((out / "summary.json").read_text())
    assert summary["protocol"] == {"name": "ph2-5fold", "part": "fold1", "sha256": protocol.checksums()}
    html = (out / "report.html").read_text()
    assert "12 images, fold1 of ph2-5fold" in html and protocol.notes[0][:20] in html
    shown = {part for part, checksum in protocol.checksums().items() if checksum in html}
    assert shown == {"fold1"}
    assert "Warning: 12 of 12 masks are not 256 x 256 as in ph2-5fold" in html


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


def test_image_missing_or_of_another_size(folders: Path) -> None:
    (folders / "imagesTs" / "c_10_0000.png").unlink()
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folders / "imagesTs/c_9_0000.png")
    html = write_evaluation_report(folders / "out", evaluation(folders, "bad")).read_text()
    assert "Without an image of their size in" in html and ": c_10, c_9." in html
    assert html.count("data:image/png") == 9 and "c_8: Dice" in html


def test_a_folder_of_images_that_was_named_has_to_be_there(folders: Path) -> None:
    for images in (folders / "nowhere", folders / "good" / "c_1.png"):
        with pytest.raises(LightsegError, match=str(images)):
            evaluate_and_report([folders / "bad"], folders / "labelsTs", folders / "out", images=images)
    for path in (folders / "imagesTs").iterdir():
        path.unlink()
    html = write_evaluation_report(folders / "out", evaluation(folders, "bad")).read_text()
    assert "No overlays: " in html


def test_what_hinders_the_report_is_found_before_the_scoring(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "out").mkdir()
    with pytest.raises(LightsegError, match="out is already there"):
        evaluate_and_report([folders / "bad"], folders / "labelsTs", folders / "out")
    assert "evaluate" not in capsys.readouterr().err


def test_foreground_shares(folders: Path) -> None:
    shares = evaluation_report._foreground_shares(evaluation(folders, "bad").models[0])
    assert sorted(shares) == [0] + [14 * 20 / 600] * 11


def test_images_elsewhere_or_nowhere(folders: Path) -> None:
    (folders / "imagesTs").rename(folders / "elsewhere")
    of_bad = evaluation(folders, "bad")
    without = write_evaluation_report(folders / "without", of_bad).read_text()
    with_images = write_evaluation_report(folders / "with", of_bad, images=folders / "elsewhere").read_text()
    assert (without.count("data:image/png"), with_images.count("data:image/png")) == (1, 9)
