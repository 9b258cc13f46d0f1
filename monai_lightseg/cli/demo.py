"""`lightseg demo`: the whole way once, on a small machine."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    data: Annotated[Path | None, typer.Option(help="Folder of images and masks; else they are drawn.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and the folder lightseg_demo.")] = Path(),
) -> None:
    """Train, predict and score on a few images.

    Prints the path of the report. A demo that was cut off goes on where it stopped.

    Example: lightseg demo --out demo
    """
    from monai_lightseg.workflows.demo_run import run_demo

    typer.echo(str(run_demo(data, out)))
