import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("nnunetv2")
pytest.importorskip("matplotlib")

from monai_lightseg.data import Split
from monai_lightseg.metrics import EMPTY_MASKS, METRICS
from monai_lightseg.workflows.demo_report import DemoFacts, demo_report
from monai_lightseg.workflows.evaluation import evaluate_folders
from nnunet_trainers.plans import light_architecture

VOID = {"meta", "img", "br"}
CASES = [f"case_{i}" for i in range(9)] + ["<b>&'x"]


class Page(HTMLParser):
    """Checks that every tag is closed, and gathers what the page holds."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.captions: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] == "figcaption":
            self.captions.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def facts(tmp_path: Path) -> DemoFacts:
    rng = np.random.default_rng(0)
    for name in ("images", "labels", "predictions"):
        (tmp_path / name).mkdir()
    for i, case in enumerate(CASES):
        label, prediction = np.zeros((2, 48, 64), np.uint8)
        label[10:30, 10:40] = 1
        prediction[10 : 30 - i, 10:40] = 1
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8)).save(tmp_path / f"images/{case}_0000.png")
        Image.fromarray(label).save(tmp_path / f"labels/{case}.png")
        Image.fromarray(prediction).save(tmp_path / f"predictions/{case}.png")
    configuration = {"patch_size": [32, 64], "architecture": light_architecture((4, 8, 8))}
    (tmp_path / "plans.json").write_text(json.dumps({"plans_name": "p", "configurations": {"2d": configuration}}))
    return DemoFacts(
        source="/data/<script>alert(1)</script>",
        size=(48, 64),
        split=Split(train=("t1", "t2", "t3"), val=("v1",), test=tuple(CASES)),
        trainer="nnUNetTrainerNmODEDecoderSmoke",
        plans_file=tmp_path / "plans.json",
        history={
            "train_losses": [0.5, 0.1],
            "val_losses": [0.4, 0.2],
            "mean_fg_dice": [0.3, 0.6],
            "epoch_seconds": [1, 1],
        },
        scores=evaluate_folders(tmp_path / "predictions", tmp_path / "labels", progress=False),
        seconds={"convert": 1.5, "train": 62.0},
        images=tmp_path / "images",
        labels=tmp_path / "labels",
        predictions=tmp_path / "predictions",
    )


def test_what_it_tells(facts: DemoFacts) -> None:
    page = Page(demo_report(facts))
    run = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert run["trainer"] == "nnUNetTrainerNmODEDecoderSmoke"
    assert run["network"] == "planned encoder (4, 8, 8 channels) with NmODEDecoder"
    assert int(run["parameters"].replace(",", "")) > 1000
    assert run["multiply-accumulates at 32 x 64 pixels (convolutions and matrix products as built)"].endswith(" G")
    assert run["training / validation / test images"] == "3 / 1 / 10"
    assert (run["epochs"], run["seconds per stage"]) == ("2", "convert 2, train 62")
    for package in ("monai-lightseg", "torch", "monai", "nnunetv2", "Python"):
        assert f"{package} " in run["versions"]
    head = page.rows.index(["", "pooled", "per-image mean", "images left out"])
    pooled, mean = facts.scores.pooled["dice"], facts.scores.per_image_mean["dice"]
    assert page.rows[head + 1] == ["dice", f"{pooled:.4f}", f"{mean:.4f}", "0"]
    distance = facts.scores.per_image_mean["hd95"]
    assert page.rows[head + 8] == ["hd95", "", f"{distance:.4f}", "0"]
    head = page.rows.index(["case", *METRICS])
    assert [row[0] for row in page.rows[head + 1 :]] == sorted(CASES)


def test_it_holds_everything_itself(facts: DemoFacts) -> None:
    html = demo_report(facts)
    page = Page(html)
    assert html.startswith("<!doctype html>")
    pictures = page.all("img")
    assert len(pictures) == 1 + len(page.captions)
    assert all(picture["alt"] and (picture["src"] or "").startswith("data:image/png;base64,") for picture in pictures)
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not re.search(r"https?://", html)


def test_text_of_others_is_escaped(facts: DemoFacts) -> None:
    html = demo_report(facts)
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "<b>&'x" not in html
    assert any(row[0] == "<b>&'x" for row in Page(html).rows)


def test_overlays(facts: DemoFacts) -> None:
    page = Page(demo_report(facts))
    assert len(page.captions) == 8
    ranked = sorted(CASES, key=lambda case: facts.scores.per_image[case]["dice"])
    shown = [caption.partition(":")[0] for caption in page.captions]
    assert shown[:2] == [ranked[0], ranked[-1]]
    assert len(set(shown)) == 8


def test_scores_that_do_not_exist(facts: DemoFacts, tmp_path: Path) -> None:
    empty = Image.fromarray(np.zeros((48, 64), np.uint8))
    for folder in (facts.labels, facts.predictions):
        for case in CASES:
            empty.save(folder / f"{case}.png")
    scores = evaluate_folders(facts.predictions, facts.labels, progress=False)
    page = Page(demo_report(replace(facts, scores=scores)))
    assert ["dice", "nan", "nan", "10"] in page.rows


def test_missed_lesions_are_told(facts: DemoFacts) -> None:
    for case in CASES[:3]:
        Image.fromarray(np.zeros((48, 64), np.uint8)).save(facts.predictions / f"{case}.png")
    Image.fromarray(np.zeros((48, 64), np.uint8)).save(facts.labels / f"{CASES[3]}.png")
    scores = evaluate_folders(facts.predictions, facts.labels, progress=False)
    html = demo_report(replace(facts, scores=scores))
    assert f"Missed lesions: 3. False alarms: 1. {EMPTY_MASKS}" in html
