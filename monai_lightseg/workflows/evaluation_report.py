"""An evaluation as files: scores per image, a summary, a report to read."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lightseg import __version__
from monai_lightseg.atomic import atomic_folder, write_bytes, write_text
from monai_lightseg.data import Protocol, read_rgb
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import EMPTY_MASKS, METRICS, SURFACE_TOLERANCE, ModelComparison, worst_first
from monai_lightseg.workflows.evaluation import Evaluation, ScoredModel, evaluate_models, read_masks
from monai_lightseg.workflows.finite_json import finite_json
from monai_lightseg.workflows.overlays import OVERLAY_LEGEND, figure_pixels, overlay
from monai_lightseg.workflows.prediction_files import find_image, pictures_by_stem
from monai_lightseg.workflows.report_document import (
    Block,
    Heading,
    Paragraph,
    Picture,
    Table,
    as_html,
    as_markdown,
    png_bytes,
)
from monai_lightseg.workflows.score_notes import missed_note, score_notes, score_table

__all__ = ["evaluate_and_report", "evaluation_summary", "write_evaluation_report"]

WORST_CASES = 8
# Where the images lie beside a folder of labels.
IMAGE_FOLDERS = {"labelsTs": "imagesTs", "labelsTr": "imagesTr", "labels": "images", "masks": "images"}


def evaluate_and_report(
    predictions: Sequence[Path],
    labels: Path,
    out: Path,
    *,
    images: Path | None = None,
    protocol: Protocol | None = None,
    only_predicted: bool = False,
    surface_tolerance: float = SURFACE_TOLERANCE,
    progress: bool = True,
) -> Evaluation:
    """Score models with `evaluate_models` and write `write_evaluation_report`; what hinders the report is found first.

    Args:
        predictions: per model, a folder of predicted masks; the first is the one in question.
        labels: folder of true masks.
        out: folder to make.
        images: folder of the images, for overlays; None takes the one beside the labels.
        protocol: the cases have to be those it tests on; None takes any.
        only_predicted: pass over labels without a prediction.
        surface_tolerance: of surface Dice, in pixels.
        progress: show a progress bar on stderr.

    Raises:
        LightsegError: as these two functions do.
    """
    _check(out, images)
    evaluation = evaluate_models(
        predictions,
        labels,
        protocol=protocol,
        only_predicted=only_predicted,
        surface_tolerance=surface_tolerance,
        progress=progress,
    )
    write_evaluation_report(out, evaluation, images=images)
    return evaluation


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
        LightsegError: `out` is already there or cannot be written, `images` is no folder of images, a comparison has
            fewer than two images, or matplotlib is not installed.
    """
    _check(out, images)
    blocks = _blocks(evaluation, images)
    title = f"Evaluation of {evaluation.models[0].name}"
    try:
        with atomic_folder(out) as folder:
            write_text(folder / "per_image.csv", per_image_csv(evaluation.models))
            write_text(folder / "summary.json", finite_json(evaluation_summary(evaluation)) + "\n")
            write_text(folder / "report.html", as_html(title, blocks))
            write_text(folder / "report.md", as_markdown(title, blocks))
            for block in blocks:
                if isinstance(block, Picture):
                    write_bytes(folder / f"{block.name}.png", png_bytes(block.pixels))
    except OSError as error:
        raise LightsegError(f"{out} cannot be written ({error}): check the folder and the space on disk") from error
    return out / "report.html"


def evaluation_summary(evaluation: Evaluation) -> dict[str, Any]:
    """All figures of an evaluation, as `summary.json` and `lightseg evaluate --json` show them."""
    protocol = evaluation.protocol
    return {
        "version": __version__,
        "labels": str(evaluation.labels),
        "protocol": None
        if protocol is None
        else {"name": protocol.name, "part": evaluation.part, "sha256": protocol.checksums()},
        "warnings": evaluation.warnings,
        "empty_masks": EMPTY_MASKS,
        "models": {
            model.name: {"images": len(model.matches), **asdict(model.scores), "intervals": asdict(model.intervals)}
            for model in evaluation.models
        },
        "comparisons": [
            {"model": evaluation.models[0].name, **asdict(comparison)} for comparison in evaluation.comparisons
        ],
    }


def _check(out: Path, images: Path | None) -> None:
    if out.exists():
        raise LightsegError(f"{out} is already there: remove it or write to another folder")
    if images is not None:
        pictures_by_stem(images, of="images")
    if find_spec("matplotlib") is None:
        raise LightsegError("matplotlib is not installed: pip install 'monai-lightseg[plots]'")


def _blocks(evaluation: Evaluation, images: Path | None) -> list[Block]:
    return [
        Paragraph(f"{evaluation.title}. Truth: {evaluation.labels}. monai-lightseg {__version__}."),
        *(Paragraph(f"Warning: {warning}.") for warning in evaluation.warnings),
        *_protocol_blocks(evaluation),
        *(block for model in evaluation.models for block in _score_blocks(model)),
        *score_notes(evaluation.models[0].scores),
        Paragraph(EMPTY_MASKS),
        Paragraph(
            "Intervals are over images: of pooled scores by the bootstrap, of means by Student's t, on the logit scale "
            "for all but hd95. Those of pooled scores cover a little less than they say below 500 images."
        ),
        *_comparison_blocks(evaluation),
        Heading("Distribution"),
        Picture("dice", _dice_charts(evaluation.models)),
        *_worst_blocks(evaluation.models[0], images, evaluation.labels),
    ]


def _protocol_blocks(evaluation: Evaluation) -> list[Block]:
    protocol = evaluation.protocol
    if protocol is None:
        return []
    checksums = protocol.checksums()
    rows = [
        ("protocol", f"{protocol.name}: {protocol.title}"),
        ("scored", evaluation.title),
        *(
            (f"sha256 of the ids, {part}", checksum)
            for part, checksum in checksums.items()
            if evaluation.part in (part, "all folds")
        ),
        ("metric", protocol.metric),
    ]
    return [Heading("Protocol"), Table((), rows), *(Paragraph(f"Note: {note}") for note in protocol.notes)]


def _score_blocks(model: ScoredModel) -> list[Block]:
    return [
        Heading(f"Scores of {model.name}"),
        score_table(model.scores, model.intervals),
        Paragraph(missed_note(model.scores)),
    ]


def _comparison_blocks(evaluation: Evaluation) -> list[Block]:
    comparisons, name = evaluation.comparisons, evaluation.models[0].name
    if not comparisons:
        return []
    return [
        Heading("Comparison"),
        Table(
            (f"{name} against", "mean Dice", "its mean Dice", "difference", "pooled difference", *_TEST_HEADER),
            [_comparison_row(comparison) for comparison in comparisons],
        ),
        Paragraph(
            f"Differences are {name} less the other, with their 95 % intervals; they are positive where {name} is "
            "better. The tests are two-sided and of the Dice per image, paired by image: Wilcoxon's signed-rank test, "
            "and the sign-flip permutation test of the mean. In brackets p by Holm, for each test over the "
            f"{len(comparisons)} comparisons with {name}; decide beforehand which test counts. Intervals are not "
            "corrected, and pooled Dice is not tested: its difference has an interval by the paired bootstrap."
        ),
        Paragraph(
            "Where the truth is empty and only one model predicts something, the other one, rightly silent, has a Dice "
            "of 1. The tests say whether these trained weights differ on such images, not whether another seed would: "
            "train several."
        ),
    ]


_TEST_HEADER = (
    "Wilcoxon p (Holm)",
    "rank-biserial",
    "permutation p (Holm)",
    "Cohen's d_z",
    "equal",
    "one silent",
    "images left out",
)


def _comparison_row(of: ModelComparison) -> tuple[str | float | int, ...]:
    difference, pooled = of.permutation.difference, of.pooled
    return (
        of.other,
        of.mean,
        of.other_mean,
        f"{difference.estimate:+.4f} ({difference.ends})",
        "" if pooled is None else f"{pooled.estimate:+.4f} ({pooled.ends})",
        f"{of.wilcoxon.p_value:.2g} ({of.wilcoxon_adjusted:.2g})",
        of.wilcoxon.effect,
        f"{of.permutation.p_value:.2g} ({of.permutation_adjusted:.2g})",
        of.permutation.effect,
        of.permutation.zeros,
        of.silent,
        of.undefined,
    )


def _dice_charts(models: Sequence[ScoredModel]) -> NDArray[np.uint8]:
    """Boxes of Dice per image; beside them Dice against the size of the lesion, or two models against each other."""
    from matplotlib.figure import Figure

    dice = [np.array([of["dice"] for of in model.scores.per_image.values()]) for model in models]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    boxes, scatter = figure.subplots(1, 2)
    boxes.boxplot([values[~np.isnan(values)] for values in dice], tick_labels=[model.name for model in models])
    boxes.set(ylabel="Dice per image", ylim=(-0.02, 1.02))
    boxes.tick_params(axis="x", labelrotation=15)
    if len(models) == 2:
        scatter.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        scatter.scatter(*dice, s=8, alpha=0.5)
        scatter.set(xlabel=f"Dice, {models[0].name}", ylabel=f"Dice, {models[1].name}")
    else:
        for model, values in zip(models, dice, strict=True):
            scatter.scatter(_foreground_shares(model), values, s=8, alpha=0.5, label=model.name)
        scatter.set(xlabel="share of the image that is lesion", ylabel="Dice per image")
        scatter.legend()
    return figure_pixels(figure)


def _foreground_shares(model: ScoredModel) -> list[float]:
    return [(of["tp"] + of["fn"]) / sum(of.values()) for of in model.scores.counts.values()]


def _worst_blocks(model: ScoredModel, images: Path | None, labels: Path) -> list[Block]:
    """Overlays of the worst cases; where no folder was named, what hinders them is told and no error."""
    folder = images or _images_beside(labels)
    if folder is None:
        return [
            Paragraph(f"No overlays: no folder of images lies beside {labels}; name it with --images (images=...).")
        ]
    try:
        by_stem = pictures_by_stem(folder, of="images")
    except LightsegError as error:
        return [Paragraph(f"No overlays: {error}.")]
    matches = {match.id: match for match in model.matches}
    pictures: list[Block] = []
    without = []
    for case_id in worst_first(model.scores):
        if len(pictures) == WORST_CASES:
            break
        match = matches[case_id]
        path = find_image(by_stem, match)
        image = None if path is None else read_rgb(path)
        if image is None or image.shape[:2] != model.scores.sizes[case_id]:
            without.append(case_id)
            continue
        predicted, true = read_masks(match)
        caption = f"{case_id}: Dice {model.scores.per_image[case_id]['dice']:.3f}"
        pictures.append(Picture(f"worst_{len(pictures) + 1}", overlay(image, true, predicted), caption))
    notes = [Paragraph(f"Without an image of their size in {folder}: {', '.join(without)}.")] if without else []
    legend = [Paragraph(OVERLAY_LEGEND)] if pictures else []
    return [Heading(f"Worst cases of {model.name}"), *legend, *notes, *pictures]


def _images_beside(labels: Path) -> Path | None:
    name = IMAGE_FOLDERS.get(labels.absolute().name)
    folder = None if name is None else labels.absolute().with_name(name)
    return folder if folder is not None and folder.is_dir() else None


def per_image_csv(models: Sequence[ScoredModel]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["model", "case", "height", "width", "tp", "fp", "tn", "fn", *METRICS])
    for model in models:
        scores = model.scores
        for case_id, of in scores.per_image.items():
            values = ["" if np.isnan(of[name]) else repr(of[name]) for name in METRICS]
            writer.writerow([model.name, case_id, *scores.sizes[case_id], *scores.counts[case_id].values(), *values])
    return stream.getvalue()
