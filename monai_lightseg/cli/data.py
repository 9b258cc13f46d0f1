"""`lightseg data`: data sets in, data sets out."""

import typer

from monai_lightseg.cli.data_convert import convert
from monai_lightseg.cli.data_inspect import inspect
from monai_lightseg.cli.data_protocols import protocols

__all__ = ["data_app"]

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@data_app.callback()
def data() -> None:
    """Read, inspect, divide and convert data sets.

    Example: lightseg data convert --help
    """


data_app.command()(convert)
data_app.command()(inspect)
data_app.command()(protocols)
