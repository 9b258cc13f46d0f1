"""The demo's report: one HTML file with everything in it."""

import json
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_lightseg import __version__
from monai_lightseg.data import Split, read_mask, read_rgb
from monai_lightseg.metrics import EMPTY_MASKS, METRICS, BinaryScores, worst_first
from monai_lightseg.profiling import count_macs, count_parameters
from monai_lightseg.workflows.overlays import OVERLAY_LEGEND, figure_pixels, overlay
from monai_lightseg.workflows.report_document import Block, Heading, Paragraph, Picture, Table, as_html
from monai_lightseg.workflows.score_notes import missed_note, score_notes

__all__ = ["DemoFacts", "demo_report"]

OVERLAYS = 8


@dataclass(frozen=True)
class DemoFacts:
    """What the report tells.

    Attributes:
        source: where the images came from.
        size: (height, width) all images were resized to.
        split: cases of the three parts.
        trainer: trainer class.
        plans_file: nnU-Net plans.
        history: per epoch: `train_losses`, `val_losses`, `mean_fg_dice`, `epoch_seconds`.
        scores: scores on the test cases.
        seconds: duration of each stage.
        images: folder of the test images, `CASE_0000.png`.
        labels: folder of their masks, `CASE.png`.
        predictions: folder of the predicted masks, `CASE.png`.
    """

    source: str
    size: tuple[int, int]
    split: Split
    trainer: str
    plans_file: Path
    history: dict[str, list[float]]
    scores: BinaryScores
    seconds: dict[str, float]
    images: Path
    labels: Path
    predictions: Path


def demo_report(facts: DemoFacts) -> str:
    """The report as HTML."""
    height, width = facts.size
    scores = facts.scores
    blocks: list[Block] = [
        Paragraph(
            f"An nmODE decoder trained inside stock nnU-Net on {facts.source}, {height} x {width} pixels, and scored "
            "on test images it has not seen. A few minutes of training show that the chain works; the scores say "
            "nothing about clinical use."
        ),
        Heading("What ran"),
        Table((), _run_rows(facts)),
        Heading("Scores on the test images"),
        Table(
            ("", "pooled", "per-image mean", "images left out"),
            [
                (name, scores.pooled.get(name, ""), scores.per_image_mean[name], scores.undefined[name])
                for name in METRICS
            ],
        ),
        *score_notes(scores),
        Paragraph(f"{missed_note(scores)} {EMPTY_MASKS}"),
        Heading("Training"),
        Picture("training curve", _curve(facts.history)),
        Heading("Test images"),
        Paragraph(f"{OVERLAY_LEGEND} The worst and the best by Dice, then the first."),
        *(_overlay(facts, case_id) for case_id in _chosen(scores)),
        Heading("Every test image"),
        Table(
            ("case", *METRICS),
            [(case_id, *(values[name] for name in METRICS)) for case_id, values in scores.per_image.items()],
        ),
    ]
    return as_html("lightseg demo", blocks)


def _run_rows(facts: DemoFacts) -> list[tuple[str, str]]:
    parameters, macs, (height, width), network = _network(facts)
    split = facts.split
    return [
        ("trainer", facts.trainer),
        ("network", network),
        ("parameters", f"{parameters:,}"),
        (
            f"multiply-accumulates at {height} x {width} pixels (convolutions and matrix products as built)",
            f"{macs / 1e9:.3f} G",
        ),
        ("training / validation / test images", f"{len(split.train)} / {len(split.val)} / {len(split.test)}"),
        ("epochs", str(len(facts.history["train_losses"]))),
        ("seconds per stage", ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in facts.seconds.items())),
        ("versions", ", ".join([f"monai-lightseg {__version__}", *_versions(), f"Python {platform.python_version()}"])),
    ]


def _versions() -> list[str]:
    return [f"{name} {version(name)}" for name in ("torch", "monai", "nnunetv2")]


def _network(facts: DemoFacts) -> tuple[int, int, tuple[int, int], str]:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_trainers.trainers import trainer_classes

    plans = PlansManager(json.loads(facts.plans_file.read_text(encoding="utf-8")))
    configuration = plans.get_configuration("2d")
    network = trainer_classes()[facts.trainer].build_network_architecture(plans, configuration, 3, 2, False)
    features = configuration.network_arch_init_kwargs["features_per_stage"]
    text = f"planned encoder ({', '.join(map(str, features))} channels) with {type(network.decoder).__name__}"
    height, width = configuration.patch_size
    return count_parameters(network), count_macs(network, (1, 3, height, width)), (height, width), text


def _chosen(scores: BinaryScores) -> list[str]:
    """The worst and the best case, then the first ones; each once."""
    ranked = worst_first(scores)
    return list(dict.fromkeys([*ranked[:1], *ranked[-1:], *scores.per_image]))[:OVERLAYS]


def _overlay(facts: DemoFacts, case_id: str) -> Picture:
    image = read_rgb(facts.images / f"{case_id}_0000.png")
    truth, prediction = (read_mask(folder / f"{case_id}.png") for folder in (facts.labels, facts.predictions))
    caption = f"{case_id}: Dice {facts.scores.per_image[case_id]['dice']:.3f}"
    return Picture(case_id, overlay(image, truth, prediction), caption)


def _curve(history: dict[str, list[float]]) -> NDArray[np.uint8]:
    """Losses and nnU-Net's pseudo Dice over the epochs, as an RGB picture (H, W, 3)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    losses, dice = figure.subplots(1, 2)
    epochs = range(1, len(history["train_losses"]) + 1)
    losses.plot(epochs, history["train_losses"], marker="o", label="training")
    losses.plot(epochs, history["val_losses"], marker="o", label="validation")
    losses.set(xlabel="epoch", ylabel="loss (cross-entropy - soft Dice)")
    losses.legend()
    dice.plot(epochs, history["mean_fg_dice"], marker="o")
    dice.set(xlabel="epoch", ylabel="pseudo Dice on validation patches", ylim=(0, 1))
    return figure_pixels(figure)
