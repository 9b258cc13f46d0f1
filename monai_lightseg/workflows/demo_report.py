"""The demo's report: one HTML file with everything in it."""

import base64
import io
import json
import platform
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from monai_lightseg import __version__
from monai_lightseg.data import Split, read_mask, read_rgb
from monai_lightseg.metrics import METRICS, BinaryScores
from monai_lightseg.profiling import count_macs, count_parameters

__all__ = ["DemoFacts", "demo_report"]

TRUTH_COLOR = (0, 200, 83)
PREDICTION_COLOR = (213, 0, 249)
BOTH_COLOR = (255, 255, 255)
OVERLAYS = 8

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border: 1px solid #ccc; padding: .25rem .75rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: .5rem; } figcaption { font-size: 13px; color: #555; }
.curve { max-width: 100%; }
"""


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
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'><title>lightseg demo</title>",
        f"<style>{_STYLE}</style></head><body><h1>lightseg demo</h1>",
        f"<p>An nmODE decoder trained inside stock nnU-Net on {escape(facts.source)}, {height} x {width} pixels, and "
        "scored on test images it has not seen. A few minutes of training show that the chain works; the scores say "
        "nothing about clinical use.</p>",
        _table("What ran", _run_rows(facts)),
        "<h2>Scores on the test images</h2>",
        _score_table(facts.scores),
        "<p><b>Pooled</b>: one confusion matrix over all pixels of all test images, as most papers on light "
        "networks report. <b>Per-image mean</b>: the score of each image, averaged, as nnU-Net reports; an image where "
        "a score is 0/0 is left out of that mean and counted in the last column.</p>",
        "<h2>Training</h2>",
        f"<img class='curve' alt='training curve' src='{_png(_curve(facts.history))}'>",
        "<h2>Test images</h2><p>Green: truth. Magenta: prediction. White: both. The worst and the best by Dice, then "
        "the first.</p>",
        *(_overlay(facts, case_id) for case_id in _chosen(facts.scores)),
        "<h2>Every test image</h2>",
        _case_table(facts.scores),
        "</body></html>",
    ]
    return "\n".join(parts)


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


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows)
    return f"<h2>{title}</h2><table>{cells}</table>"


def _score_table(scores: BinaryScores) -> str:
    rows = "".join(
        f"<tr><td>{name}</td>{_number(scores.pooled[name])}{_number(scores.per_image_mean[name])}"
        f"<td class='number'>{scores.undefined[name]}</td></tr>"
        for name in METRICS
    )
    return f"<table><tr><th></th><th>pooled</th><th>per-image mean</th><th>images left out</th></tr>{rows}</table>"


def _case_table(scores: BinaryScores) -> str:
    rows = "".join(
        f"<tr><td>{escape(case_id)}</td>{''.join(_number(values[name]) for name in METRICS)}</tr>"
        for case_id, values in scores.per_image.items()
    )
    return f"<table><tr><th>case</th>{''.join(f'<th>{name}</th>' for name in METRICS)}</tr>{rows}</table>"


def _number(value: float) -> str:
    return f"<td class='number'>{value:.4f}</td>"


def _chosen(scores: BinaryScores) -> list[str]:
    """The worst and the best case, then the first ones; each once."""
    ranked = sorted(scores.per_image, key=lambda case_id: np.nan_to_num(scores.per_image[case_id]["dice"]))
    return list(dict.fromkeys([ranked[0], ranked[-1], *scores.per_image]))[:OVERLAYS]


def _overlay(facts: DemoFacts, case_id: str) -> str:
    image = read_rgb(facts.images / f"{case_id}_0000.png")
    truth, prediction = (_outline(read_mask(folder / f"{case_id}.png")) for folder in (facts.labels, facts.predictions))
    image[truth] = TRUTH_COLOR
    image[prediction] = PREDICTION_COLOR
    image[truth & prediction] = BOTH_COLOR
    caption = f"{escape(case_id)}: Dice {facts.scores.per_image[case_id]['dice']:.3f}"
    return f"<figure><img alt='{escape(case_id)}' src='{_png(image)}'><figcaption>{caption}</figcaption></figure>"


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Boundary pixels of a mask (H, W), two pixels wide."""
    inside = mask.astype(bool)
    return inside & ~ndimage.binary_erosion(inside, iterations=2)


def _curve(history: dict[str, list[float]]) -> NDArray[np.uint8]:
    """Losses and nnU-Net's pseudo Dice over the epochs, as an RGB picture (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
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
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _png(pixels: NDArray[np.uint8]) -> str:
    """RGB pixels (H, W, 3) as a data URL."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
