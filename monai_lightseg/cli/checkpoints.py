"""`lightseg checkpoints`: the authors' weights in, ours out."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from monai_lightseg.cli.values import network_arguments

__all__ = ["checkpoints_app"]

checkpoints_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@checkpoints_app.callback()
def checkpoints() -> None:
    """Convert the authors' checkpoints.

    Example: lightseg checkpoints convert --help
    """


@checkpoints_app.command()
def convert(
    authors: Annotated[Path, typer.Argument(help="The authors' checkpoint.", metavar="AUTHORS.pth")],
    network: Annotated[str, typer.Option(help="Network the weights belong to; see lightseg networks.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.", metavar="OUT.safetensors")],
    argument: Annotated[
        list[str] | None,
        typer.Option(help="Argument of that network, its value in JSON; once for each.", metavar="NAME=VALUE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Convert a checkpoint of the authors' code.

    Every key has to find its place; otherwise nothing is written and the keys left over are listed. Pickled code is
    never run.

    Example: lightseg checkpoints convert latest.pth --network ultralight_vm_unet --argument branches=2 -o x.safetensors
    """
    arguments = network_arguments(argument or [])
    from monai_lightseg.checkpoints import convert_file

    convert_file(authors, network, out, arguments=arguments, overwrite=force)
    typer.echo(f"wrote {out}; look at it with: lightseg checkpoints show {out}")


@checkpoints_app.command()
def show(
    path: Annotated[Path, typer.Argument(help="A converted checkpoint.", metavar="FILE.safetensors")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print which network a file holds.

    And where its weights are from.

    Example: lightseg checkpoints show malunet.safetensors
    """
    from monai_lightseg.checkpoints import read_checkpoint_card

    card = asdict(read_checkpoint_card(path))
    if as_json:
        typer.echo(json.dumps(card, indent=2))
        return
    for name, value in (card | {"arguments": json.dumps(card["arguments"])}).items():
        typer.echo(f"{name + ':':<15}{value}")
