"""An evaluation as files: scores per image, a summary, a report to read."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lightseg import __version__
from monai_lightseg.atomic import atomic_folder, write_bytes, write_text
from monai_lightseg.data import PICTURE_SUFFIXES, picture_stem, read_rgb
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import (
    EMPTY_MASKS,
    METRICS,
    BinaryScores,
    Comparison,
    Interval,
    coverage_warning,
    score_intervals,
)
from monai_lightseg.workflows.evaluation import Evaluated, Evaluation, read_masks
from monai_lightseg.workflows.finite_json import finite_json
from monai_lightseg.workflows.overlays import OVERLAY_LEGEND, figure_pixels, overlay
from monai_lightseg.workflows.report_document import (
    Block,
    Cell,
    Heading,
    Paragraph,
    Picture,
    Table,
    as_html,
    as_markdown,
    png_bytes,
)
from monai_lightseg.workflows.score_notes import score_notes

__all__ = ["write_evaluation_report"]

WORST_CASES = 8


def write_evaluation_report(out: Path, evaluation: Evaluation, *, images: Path | None = None) -> Path:
    """Write `per_image.csv`, `summary.json`, `report.md`, `report.html` and their pictures, all or nothing.

    Args:
        out: folder to make.
        evaluation: what to report.
        images: folder of the images, for overlays of the worst cases; None takes the one beside the labels (imagesTs
            beside labelsTs, images beside masks), and shows none where that is not there.

    Returns:
        The report, `out/report.html`.

    Raises:
        LightsegError: `out` is already there or cannot be written, an image is missing or of another size, or
            matplotlib is not installed.
    """
    if out.exists():
        raise LightsegError(f"{out} is already there: remove it or write to another folder")
    blocks = _blocks(evaluation, images or _images_beside(evaluation.labels))
    title = f"Evaluation of {evaluation.model.name}"
    try:
        with atomic_folder(out) as folder:
            write_text(folder / "per_image.csv", _per_image_csv(evaluation.models))
            write_text(folder / "summary.json", finite_json(_summary(evaluation)) + "\n")
            write_text(folder / "report.html", as_html(title, blocks))
            write_text(folder / "report.md", as_markdown(title, blocks))
            for block in blocks:
                if isinstance(block, Picture):
                    write_bytes(folder / f"{block.name}.png", png_bytes(block.pixels))
    except OSError as error:
        raise LightsegError(f"{out} cannot be written ({error}): check the folder and the space on disk") from error
    return out / "report.html"


def _images_beside(labels: Path) -> Path | None:
    names = {"labelsTs": "imagesTs", "labelsTr": "imagesTr", "labels": "images", "masks": "images"}
    folder = labels.absolute()
    images = folder.with_name(names.get(folder.name, folder.name))
    return images if images != folder and images.is_dir() else None


def _blocks(evaluation: Evaluation, images: Path | None) -> list[Block]:
    model = evaluation.model
    scores = model.scores
    warning = coverage_warning(len(scores.per_image))
    return [
        *_protocol_blocks(evaluation),
        Heading("Scores"),
        Table(("", "pooled", "95 % interval", "per-image mean", "95 % interval", "images left out"), _rows(scores)),
        *score_notes(scores),
        Paragraph(
            "Intervals: of pooled scores by the bootstrap over images, of means by Student's t."
            + (f" {warning[0].upper()}{warning[1:]}." if warning else "")
        ),
        *(_comparison_blocks(model, evaluation.comparisons) if evaluation.comparisons else []),
        Heading("Distribution"),
        Picture("dice", _dice_charts(evaluation.models)),
        *(_worst_blocks(model, images) if images else []),
    ]


def _protocol_blocks(evaluation: Evaluation) -> list[Block]:
    protocol, count = evaluation.protocol, len(evaluation.model.matches)
    if protocol is None:
        return [Paragraph(f"{count} images, of no named protocol.")]
    rows = [
        ("protocol", f"{protocol.name}: {protocol.title}"),
        ("images", str(count)),
        *((f"sha256 of the ids, {part}", checksum) for part, checksum in protocol.checksums().items()),
        ("metric", protocol.metric),
    ]
    warning = evaluation.size_warning
    notes = [*([warning] if warning else []), *protocol.notes]
    return [Heading("Protocol"), Table((), rows), *(Paragraph(f"Note: {note}") for note in notes)]


def _rows(scores: BinaryScores) -> list[tuple[Cell, ...]]:
    intervals = score_intervals(scores)
    return [
        (
            name,
            scores.pooled.get(name, ""),
            _range(intervals.pooled.get(name)),
            scores.per_image_mean[name],
            _range(intervals.per_image_mean.get(name)),
            scores.undefined[name],
        )
        for name in METRICS
    ]


def _finite(scores: BinaryScores, metric: str) -> NDArray[np.float64]:
    values = np.array([of[metric] for of in scores.per_image.values()])
    return values[~np.isnan(values)]


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}"


def _comparison_blocks(model: Evaluated, comparisons: Sequence[Comparison]) -> list[Block]:
    rows = [
        (
            other.other,
            other.mean,
            other.other_mean,
            f"{other.permutation.difference.mean:+.4f} ({_range(other.permutation.difference)})",
            f"{other.wilcoxon.p_value:.2g} ({other.wilcoxon_adjusted:.2g})",
            other.wilcoxon.effect,
            f"{other.permutation.p_value:.2g} ({other.permutation_adjusted:.2g})",
            other.permutation.effect,
            other.left_out,
        )
        for other in comparisons
    ]
    return [
        Heading("Comparison"),
        Table(
            (
                f"{model.name} against",
                "mean Dice",
                "its mean Dice",
                "difference",
                "Wilcoxon p (Holm)",
                "rank-biserial",
                "permutation p (Holm)",
                "Cohen's d_z",
                "images left out",
            ),
            rows,
        ),
        Paragraph(
            "Dice per image, paired by image; difference with its 95 % interval, positive where "
            f"{model.name} is better. Wilcoxon's signed-rank test and the sign-flip permutation test of the mean, both "
            "two-sided; in brackets corrected by Holm for the number of models compared. They say whether these "
            "trained weights differ on such images, not whether another seed would: train several."
        ),
    ]


def _dice_charts(models: Sequence[Evaluated]) -> NDArray[np.uint8]:
    """Boxes of Dice per image, and Dice against lesion size or against the other model."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise LightsegError("matplotlib is not installed: pip install 'monai-lightseg[plots]'") from error
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    boxes, scatter = figure.subplots(1, 2)
    boxes.boxplot([_finite(model.scores, "dice") for model in models], tick_labels=[model.name for model in models])
    boxes.set(ylabel="Dice per image", ylim=(-0.02, 1.02))
    boxes.tick_params(axis="x", labelrotation=15)
    first = [of["dice"] for of in models[0].scores.per_image.values()]
    if len(models) == 2:
        other = models[1]
        scatter.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        scatter.scatter(first, [of["dice"] for of in other.scores.per_image.values()], s=8, alpha=0.5)
        scatter.set(xlabel=f"Dice, {models[0].name}", ylabel=f"Dice, {other.name}")
    else:
        for model in models:
            counts = np.array([[of[name] for name in ("tp", "fp", "tn", "fn")] for of in model.scores.counts.values()])
            share = (counts[:, 0] + counts[:, 3]) / counts.sum(axis=1)
            dice = [of["dice"] for of in model.scores.per_image.values()]
            scatter.scatter(share, dice, s=8, alpha=0.5, label=model.name)
        scatter.set(xlabel="share of the image that is foreground", ylabel="Dice per image")
        scatter.legend()
    return figure_pixels(figure)


def _worst_blocks(model: Evaluated, images: Path) -> list[Block]:
    by_case = {_image_case(path): path for path in images.iterdir() if path.name.lower().endswith(PICTURE_SUFFIXES)}
    dice = {case: of["dice"] for case, of in model.scores.per_image.items()}
    worst = sorted((case for case in dice if not np.isnan(dice[case])), key=lambda case: dice[case])[:WORST_CASES]
    matches = {match.id: match for match in model.matches}
    pictures: list[Block] = []
    for place, case in enumerate(worst, 1):
        if case not in by_case:
            raise LightsegError(f"{images} has no image of {case}: give the folder of the images")
        image, (predicted, true) = read_rgb(by_case[case]), read_masks(matches[case])
        if image.shape[:2] != true.shape:
            raise LightsegError(f"{by_case[case]} has another size than {matches[case].label}: give both one size")
        pictures.append(Picture(f"worst_{place}", overlay(image, true, predicted), f"{case}: Dice {dice[case]:.3f}"))
    return [Heading("Worst cases"), Paragraph(OVERLAY_LEGEND), *pictures]


def _image_case(path: Path) -> str:
    """The case of an image; nnU-Net ends its first channel in `_0000`."""
    return picture_stem(path).removesuffix("_0000")


def _per_image_csv(models: Sequence[Evaluated]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["model", "case", "tp", "fp", "tn", "fn", *METRICS])
    for model in models:
        for case, of in model.scores.per_image.items():
            values = ["" if np.isnan(of[name]) else repr(of[name]) for name in METRICS]
            writer.writerow([model.name, case, *model.scores.counts[case].values(), *values])
    return stream.getvalue()


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    protocol = evaluation.protocol
    return {
        "version": __version__,
        "protocol": None if protocol is None else {"name": protocol.name, "sha256": protocol.checksums()},
        "empty_masks": EMPTY_MASKS,
        "models": {model.name: _model_summary(model.scores) for model in evaluation.models},
        "comparisons": [asdict(comparison) for comparison in evaluation.comparisons],
    }


def _model_summary(scores: BinaryScores) -> Mapping[str, Any]:
    left_out = ("per_image", "counts")
    return {
        "images": len(scores.per_image),
        **{name: value for name, value in asdict(scores).items() if name not in left_out},
        "intervals": asdict(score_intervals(scores)),
    }
