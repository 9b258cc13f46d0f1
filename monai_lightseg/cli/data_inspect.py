"""`lightseg data inspect`: what a data set holds, before it is trained on."""

from pathlib import Path
from typing import Annotated

import typer

from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.finite_json import finite_json

__all__ = ["inspect"]

SIMILARITY = 0.9
SHEET_CASES, DUPLICATES_SHOWN = 48, 96


def inspect(
    directory: Annotated[Path, typer.Argument(help="Folder of the data set.", metavar="DIR")],
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help=f"Write thumbnails of {SHEET_CASES} cases with their outlines.")
    ] = None,
    duplicate_sheet: Annotated[
        Path | None,
        typer.Option(metavar="PNG", help=f"Write thumbnails of the {DUPLICATES_SHOWN} most similar near-duplicates."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Mark near-duplicates between parts of this protocol, or of a JSON file of your own."),
    ] = None,
    similarity: Annotated[
        float, typer.Option(min=0.5, max=1, help="How much alike near-duplicates are at least.")
    ] = SIMILARITY,
    seed: Annotated[int, typer.Option(min=0, help="Seed that draws the cases for --sheet.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every id.")] = False,
) -> None:
    """Say what a data set holds: sizes, formats, foreground, near-duplicates, files that cannot be read.

    Every file is read. Those that cannot be are all named at the end, with exit status 1.

    Example: lightseg data inspect isic2018 --sheet sheet.png
    """
    for option, path in (("--sheet", sheet), ("--duplicate-sheet", duplicate_sheet)):
        if path is not None and path.suffix.lower() != ".png":
            raise typer.BadParameter(f"{path} does not end in .png", param_hint=option)
    if sheet is not None and sheet == duplicate_sheet:
        raise typer.BadParameter("is the same file as --sheet", param_hint="--duplicate-sheet")

    from monai_lightseg.data import (
        draw_cases,
        inspect_data_set,
        inspection_report,
        load_protocol,
        read_data_set,
        write_contact_sheet,
    )
    from monai_lightseg.data.contact_sheet import check_sheet_path

    data_set = read_data_set(directory)
    for path in (sheet, duplicate_sheet):
        if path is not None:
            check_sheet_path(path, data_set.cases)
    inspection = inspect_data_set(
        data_set,
        protocol=None if protocol is None else load_protocol(protocol),
        similarity=similarity,
    )
    typer.echo(finite_json(inspection.summary()) if as_json else inspection_report(inspection))
    if sheet is not None and inspection.readable:
        drawn = draw_cases(inspection.readable, SHEET_CASES, seed=seed)
        write_contact_sheet(sheet, drawn, [case.id for case in drawn])
    if duplicate_sheet is not None:
        cases, captions = inspection.duplicate_cases(DUPLICATES_SHOWN)
        if cases:
            write_contact_sheet(duplicate_sheet, cases, captions)
        else:
            typer.echo(f"no near-duplicates: {duplicate_sheet} is not written", err=True)
    if inspection.errors:
        raise LightsegError("\n".join(inspection.errors))
