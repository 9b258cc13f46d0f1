"""`lightseg evaluate`: scores of predicted masks."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["evaluate"]


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted PNG masks.")],
    labels: Annotated[Path, typer.Argument(help="Folder of true PNG masks, under the same names.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the scores of every image.")] = False,
) -> None:
    """Score predicted masks against true ones.

    Pooled: one confusion matrix over all pixels of all images. Per-image mean: the scores of the images, averaged
    without those where a score is 0/0, which are counted as left out.

    Example: lightseg evaluate predictions Dataset018_ISIC/labelsTs
    """
    from monai_lightseg.workflows.evaluation import evaluate_folders

    scores = evaluate_folders(predictions, labels)
    if as_json:
        typer.echo(json.dumps(_without_nan(asdict(scores)), indent=2))
        return
    typer.echo(f"{len(scores.per_image)} images")
    typer.echo(f"{'':<12} {'pooled':>8} {'per-image mean':>15} {'images left out':>16}")
    for name, pooled in scores.pooled.items():
        typer.echo(f"{name:<12} {pooled:>8.4f} {scores.per_image_mean[name]:>15.4f} {scores.undefined[name]:>16}")


def _without_nan(value: Any) -> Any:
    """The same with null for NaN, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
