"""The root command `lightseg`, and what becomes of errors in all commands below it."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from monai_lightseg import __version__
from monai_lightseg.cli.bundles import bundles_app
from monai_lightseg.cli.checkpoints import checkpoints_app
from monai_lightseg.cli.data import data_app
from monai_lightseg.cli.demo import demo
from monai_lightseg.cli.evaluate import evaluate
from monai_lightseg.cli.networks import networks
from monai_lightseg.cli.nnunet import nnunet_app
from monai_lightseg.cli.profile import profile
from monai_lightseg.errors import LightsegError

__all__ = ["app", "main"]


class ErrorLines(TyperGroup):
    """A group whose commands end with `error: ...` on stderr and exit status 1 where the user can mend the cause."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; with `--debug` the traceback is left to be seen."""
        try:
            return super().invoke(ctx)
        except LightsegError as error:
            if ctx.params["debug"]:
                raise
            for line in str(error).splitlines():
                typer.echo(f"error: {line}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=ErrorLines,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(nnunet_app, name="nnunet")
app.add_typer(data_app, name="data")
app.add_typer(checkpoints_app, name="checkpoints")
app.add_typer(bundles_app, name="bundles")
app.command()(networks)
app.command()(profile)
app.command()(demo)
app.command()(evaluate)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    """Lightweight 2D medical image segmentation for MONAI and nnU-Net.

    Example: lightseg nnunet doctor
    """


def main() -> None:
    """Run the command line."""
    app(prog_name="lightseg")
