"""`lightseg evaluate`: scores of predicted masks."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from monai_lightseg.workflows.finite_json import finite_json

if TYPE_CHECKING:
    from monai_lightseg.metrics import GlandScores, ModelComparison
    from monai_lightseg.workflows.evaluation import Evaluation

__all__ = ["evaluate"]

TOLERANCE = 2.0
GLAND_SIZE = 500
CONVENTION: Final = "challenge"


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted masks, of nnU-Net or MONAI.")],
    labels: Annotated[Path, typer.Argument(help="Folder of true masks of the same cases.")],
    protocol: Annotated[
        str | None, typer.Option(help="Check that these are the test cases of a protocol (a name or a .json file).")
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(help="Predictions of another model on the same cases, for paired tests; may be given again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="New folder for per_image.csv, summary.json, report.md and report.html.")
    ] = None,
    only_predicted: Annotated[
        bool,
        typer.Option("--only-predicted", help="Pass over labels that have no prediction."),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(help="With --out: folder of the images, for the worst cases. [default: that beside the labels]"),
    ] = None,
    tolerance: Annotated[
        float | None, typer.Option(min=0, help=f"Pixels that surface Dice lets pass. [default: {TOLERANCE:g}]")
    ] = None,
    objects: Annotated[
        Literal["core-border", "instances"] | None,
        typer.Option(help="Score glands one by one; predictions hold the classes core and border, or instances."),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(min=0, help=f"With core-border: drop glands of fewer pixels. [default: {GLAND_SIZE}]"),
    ] = None,
    convention: Annotated[
        Literal["challenge", "pinckaers"] | None,
        typer.Option(help=f"With --objects: whose definition of the scores. [default: {CONVENTION}]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the scores of every image.")] = False,
) -> None:
    """Score predicted masks against true ones.

    Pooled: one confusion matrix over all pixels of all images. Per-image mean: the scores of the images, averaged
    without those where a score is 0/0, which are counted as left out. Both with their 95 % interval.

    With --compare: paired tests of the Dice per image, corrected for the number of models.

    With --only-predicted: nnU-Net's fold_0/validation against labelsTr, for example.

    With --objects: F1, Dice and Hausdorff distance of glands, as in the GlaS challenge; the labels are instances.

    Example: lightseg evaluate predictions Dataset018_ISIC/labelsTs --protocol isic2018-random42 --out report

    Example: lightseg evaluate predictions Dataset020_GlaS/instancesTs --objects core-border
    """
    _check_options(
        objects,
        masks={
            "--compare": bool(compare),
            "--out": out is not None,
            "--images": images is not None,
            "--tolerance": tolerance is not None,
            "--only-predicted": only_predicted,
        },
        glands={"--min-size": min_size is not None, "--convention": convention is not None},
    )
    if images is not None and out is None:
        raise typer.BadParameter("is for the report: give --out too", param_hint="--images")
    if tolerance is not None and not math.isfinite(tolerance):
        raise typer.BadParameter("is a number of pixels", param_hint="--tolerance")
    from monai_lightseg.data import load_protocol

    named = None if protocol is None else load_protocol(protocol)
    if objects is not None:
        from monai_lightseg.workflows.gland_evaluation import evaluate_glands

        glands = evaluate_glands(
            predictions,
            labels,
            objects=objects,
            min_size=GLAND_SIZE if min_size is None else min_size,
            convention=convention or CONVENTION,
            protocol=named,
        )
        if named is not None and not as_json:
            typer.echo(f"protocol {named.name}")
        _show_glands(glands, as_json)
        return
    from monai_lightseg.workflows.evaluation import evaluate_models
    from monai_lightseg.workflows.evaluation_report import evaluate_and_report, evaluation_summary

    folders = [predictions, *(compare or [])]
    settings: dict[str, Any] = {
        "protocol": named,
        "only_predicted": only_predicted,
        "surface_tolerance": TOLERANCE if tolerance is None else tolerance,
    }
    if out is None:
        evaluation = evaluate_models(folders, labels, **settings)
    else:
        evaluation = evaluate_and_report(folders, labels, out, images=images, **settings)
    for warning in evaluation.warnings:
        typer.echo(f"warning: {warning}", err=True)
    if as_json:
        typer.echo(finite_json(evaluation_summary(evaluation)))
    else:
        _show_masks(evaluation)
    if out is not None:
        typer.echo(f"wrote {out / 'report.html'}", err=as_json)


def _check_options(objects: str | None, masks: dict[str, bool], glands: dict[str, bool]) -> None:
    for option, given in glands.items():
        if given and objects is None:
            raise typer.BadParameter("is for glands: give --objects too", param_hint=option)
    for option, given in masks.items():
        if given and objects is not None:
            raise typer.BadParameter("is for masks, not for --objects", param_hint=option)
    if objects == "instances" and glands["--min-size"]:
        raise typer.BadParameter(
            "is for --objects core-border; instances are scored as they are", param_hint="--min-size"
        )


def _show_masks(evaluation: "Evaluation") -> None:
    from monai_lightseg.metrics import EMPTY_MASKS
    from monai_lightseg.workflows.report_document import as_text
    from monai_lightseg.workflows.score_notes import score_table

    typer.echo(evaluation.title)
    for model in evaluation.models:
        if len(evaluation.models) > 1:
            typer.echo(f"{model.name}:")
        typer.echo(as_text(score_table(model.scores, model.intervals)))
        typer.echo(f"missed lesions: {model.scores.missed}, false alarms: {model.scores.false_alarms}")
    typer.echo(EMPTY_MASKS)
    for comparison in evaluation.comparisons:
        _show_comparison(evaluation.models[0].name, comparison)


def _show_comparison(name: str, of: "ModelComparison") -> None:
    difference, pooled = of.permutation.difference, of.pooled
    typer.echo(f"{name} against {of.other}, {of.metric} per image, {of.undefined} images left out:")
    typer.echo(
        f"  means {of.mean:.4f} and {of.other_mean:.4f}, difference {difference.estimate:+.4f} ({difference.ends})"
    )
    if pooled is not None:
        typer.echo(f"  pooled difference {pooled.estimate:+.4f} ({pooled.ends})")
    for test, adjusted in ((of.wilcoxon, of.wilcoxon_adjusted), (of.permutation, of.permutation_adjusted)):
        typer.echo(
            f"  {test.test}: p {test.p_value:.2g}, by Holm {adjusted:.2g}; {test.effect_name} {test.effect:+.3f}"
        )


def _show_glands(scores: "GlandScores", as_json: bool) -> None:
    if as_json:
        typer.echo(finite_json(asdict(scores)))
        return
    typer.echo(f"{'':<8} {'images':>6} {'':<18} {'over all objects':>17} {'per-image mean':>15}")
    for part, of_part in (*scores.parts.items(), ("total", scores.total)):
        for name, value in of_part.dataset.items():
            typer.echo(f"{part:<8} {of_part.images:>6} {name:<18} {value:>17.4f} {of_part.per_image_mean[name]:>15.4f}")
    if scores.total.one_side_empty:
        typer.echo(f"images where only one side has glands, their distance infinite: {scores.total.one_side_empty}")
