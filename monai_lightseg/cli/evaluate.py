"""`lightseg evaluate`: scores of predicted masks."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from monai_lightseg.workflows.finite_json import finite_json

if TYPE_CHECKING:
    from monai_lightseg.metrics import GlandScores

__all__ = ["evaluate"]

GLAND_SIZE = 500
CONVENTION: Final = "challenge"


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted PNG masks.")],
    labels: Annotated[Path, typer.Argument(help="Folder of true PNG masks, under the same names.")],
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
    without those where a score is 0/0, which are counted as left out.

    With --objects: F1, Dice and Hausdorff distance of glands, as in the GlaS challenge; the labels are instances.

    Example: lightseg evaluate predictions Dataset018_ISIC/labelsTs

    Example: lightseg evaluate predictions Dataset020_GlaS/instancesTs --objects core-border
    """
    for option, given in (("--min-size", min_size is not None), ("--convention", convention is not None)):
        if given and objects is None:
            raise typer.BadParameter("is for glands: give --objects too", param_hint=option)
    if objects == "instances" and min_size is not None:
        raise typer.BadParameter(
            "is for --objects core-border; instances are scored as they are", param_hint="--min-size"
        )
    if objects is not None:
        from monai_lightseg.workflows.gland_evaluation import evaluate_glands

        glands = evaluate_glands(
            predictions,
            labels,
            objects=objects,
            min_size=GLAND_SIZE if min_size is None else min_size,
            convention=convention or CONVENTION,
        )
        _show_glands(glands, as_json)
        return
    from monai_lightseg.workflows.evaluation import evaluate_folders

    scores = evaluate_folders(predictions, labels)
    if as_json:
        typer.echo(finite_json(asdict(scores)))
        return
    typer.echo(f"{len(scores.per_image)} images")
    typer.echo(f"{'':<12} {'pooled':>8} {'per-image mean':>15} {'images left out':>16}")
    for name, pooled in scores.pooled.items():
        typer.echo(f"{name:<12} {pooled:>8.4f} {scores.per_image_mean[name]:>15.4f} {scores.undefined[name]:>16}")


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
