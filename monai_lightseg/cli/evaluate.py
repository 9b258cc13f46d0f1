"""`lightseg evaluate`: scores of predicted masks."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from monai_lightseg.metrics import GlandScores

__all__ = ["evaluate"]


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted PNG masks.")],
    labels: Annotated[Path, typer.Argument(help="Folder of true PNG masks, under the same names.")],
    objects: Annotated[
        Literal["core-border", "instances"] | None,
        typer.Option(help="Score glands one by one; predictions hold the classes core and border, or instances."),
    ] = None,
    min_size: Annotated[int, typer.Option(min=0, help="With core-border: drop glands of fewer pixels.")] = 500,
    convention: Annotated[
        Literal["challenge", "pinckaers"], typer.Option(help="With --objects: whose definition of the scores.")
    ] = "challenge",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the scores of every image.")] = False,
) -> None:
    """Score predicted masks against true ones.

    Pooled: one confusion matrix over all pixels of all images. Per-image mean: the scores of the images, averaged
    without those where a score is 0/0, which are counted as left out.

    With --objects: F1, Dice and Hausdorff distance of glands, as in the GlaS challenge; the labels are instances.

    Example: lightseg evaluate predictions Dataset018_ISIC/labelsTs

    Example: lightseg evaluate predictions Dataset020_GlaS/instancesTs --objects core-border
    """
    if objects is not None:
        from monai_lightseg.workflows.gland_evaluation import evaluate_glands

        size = min_size if objects == "core-border" else None
        _show_glands(evaluate_glands(predictions, labels, min_size=size, convention=convention), as_json)
        return
    from monai_lightseg.workflows.evaluation import evaluate_folders

    scores = evaluate_folders(predictions, labels)
    if as_json:
        typer.echo(json.dumps(_without_nan(asdict(scores)), indent=2))
        return
    typer.echo(f"{len(scores.per_image)} images")
    typer.echo(f"{'':<12} {'pooled':>8} {'per-image mean':>15} {'images left out':>16}")
    for name, pooled in scores.pooled.items():
        typer.echo(f"{name:<12} {pooled:>8.4f} {scores.per_image_mean[name]:>15.4f} {scores.undefined[name]:>16}")


def _show_glands(scores: "GlandScores", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_without_nan(asdict(scores)), indent=2))
        return
    typer.echo(f"{'':<8} {'images':>6} {'':<18} {'over all objects':>17} {'per-image mean':>15}")
    for part, of_part in (*scores.parts.items(), ("total", scores.total)):
        for name, value in of_part.dataset.items():
            typer.echo(f"{part:<8} {of_part.images:>6} {name:<18} {value:>17.4f} {of_part.per_image_mean[name]:>15.4f}")
    if scores.total.one_side_empty:
        typer.echo(f"images where only one side has glands, their distance infinite: {scores.total.one_side_empty}")


def _without_nan(value: Any) -> Any:
    """The same with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
