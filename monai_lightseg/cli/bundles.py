"""`lightseg bundles`: the MONAI bundles that come with the package."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_lightseg.cli.columns import in_columns
from monai_lightseg.workflows.bundles import bundle_folder, bundle_receipt, copy_bundle, list_bundles

__all__ = ["bundles_app"]

HEADINGS = ("name", "network", "parameters", "protocol", "test score")
SCORES = {"dice_pooled": "pooled Dice", "dice_per_image": "per image", "object_dice": "object Dice"}

bundles_app = typer.Typer(rich_markup_mode=None)


@bundles_app.callback(invoke_without_command=True)
def bundles(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print folders and whole receipts as JSON.")] = False,
) -> None:
    """List, find and copy the MONAI bundles.

    A bundle is a network with trained weights, configs and a model card. The score is that of the test images of its
    protocol; the receipt, beside the weights, has the intervals and says how they were trained.

    Example: lightseg bundles --json
    """
    if context.invoked_subcommand is not None:
        return
    receipts = {name: bundle_receipt(name) for name in list_bundles()}
    if as_json:
        listed = [{"name": name, "folder": str(bundle_folder(name)), "receipt": of} for name, of in receipts.items()]
        typer.echo(json.dumps(listed, indent=2))
        return
    rows = (_row(name, receipt) for name, receipt in receipts.items())
    typer.echo(in_columns(HEADINGS, rows, numbers=("parameters",)))


@bundles_app.command()
def path(name: Annotated[str, typer.Argument(help="Bundle; see lightseg bundles.")]) -> None:
    """Print the folder of a bundle.

    Example: lightseg bundles path isic_lesion_ultralight_vm_unet
    """
    typer.echo(str(bundle_folder(name)))


@bundles_app.command()
def copy(
    name: Annotated[str, typer.Argument(help="Bundle; see lightseg bundles.")],
    folder: Annotated[Path, typer.Argument(help="New folder.")],
) -> None:
    """Copy a bundle to a folder of your own.

    Training writes into the bundle, so train in a copy.

    Example: lightseg bundles copy isic_lesion_ultralight_vm_unet my_bundle
    """
    out = copy_bundle(name, folder)
    typer.echo(f"wrote {out}; what to run in it stands in {out / 'docs' / 'README.md'}")


def _row(name: str, receipt: dict[str, Any]) -> tuple[str, ...]:
    parameters = receipt.get("parameters")
    return (
        name,
        receipt.get("network") or "-",
        "-" if parameters is None else f"{parameters:,}",
        receipt.get("protocol") or "-",
        _scores(receipt),
    )


def _scores(receipt: dict[str, Any]) -> str:
    scores: dict[str, Any] = next((test["scores"] for test in receipt.get("tests", []) if test["name"] == "test"), {})
    return ", ".join(f"{SCORES[key]} {scores[key]['estimate']:.3f}" for key in SCORES if key in scores) or "-"
