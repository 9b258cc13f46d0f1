"""`lightseg data`: data sets in, data sets out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monai_lightseg.cli.values import read_size
from monai_lightseg.errors import LightsegError

if TYPE_CHECKING:
    from monai_lightseg.data import Case, GlasCase, Split

__all__ = ["data_app"]

RAW = "nnUNet_raw"
PREPROCESSED = "nnUNet_preprocessed"
SEED = 42
VAL, TEST = 0.15, 0.2
GLAND_BORDER = 6

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@data_app.callback()
def data() -> None:
    """Read and convert data sets.

    Example: lightseg data convert --help
    """


@data_app.command()
def convert(
    directory: Annotated[
        Path, typer.Argument(help="Folder of images and masks, of ISIC 2018 or of GlaS.", metavar="DIR")
    ],
    to: Annotated[Literal["nnunet"], typer.Option(help="Format to write.")],
    dataset_id: Annotated[int, typer.Option("--id", help="nnU-Net's number for the dataset, 1 to 999.")],
    name: Annotated[str, typer.Option(help="Name of the dataset: letters, digits and underscores.")],
    train_ids: Annotated[Path | None, typer.Option(help="File with the ids that train, one per line.")] = None,
    val_ids: Annotated[Path | None, typer.Option(help="File with the ids that validate.")] = None,
    test_ids: Annotated[Path | None, typer.Option(help="File with the ids that test.")] = None,
    val: Annotated[
        float | None,
        typer.Option(min=0, help=f"Without id files: share that validates, or number from 1. [default: {VAL}]"),
    ] = None,
    test: Annotated[
        float | None,
        typer.Option(min=0, help=f"Without id files: share that tests, or number from 1. [default: {TEST}]"),
    ] = None,
    size: Annotated[str | None, typer.Option(help="Resize to HEIGHTxWIDTH; else sizes stay as they are.")] = None,
    border: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="GlaS: pixels of each gland that are border (label 2), the rest is core (label 1); 0: glands are "
            f"label 1. [default: {GLAND_BORDER}]",
        ),
    ] = None,
    reduce: Annotated[bool, typer.Option("--reduce", help="GlaS: divide the sides by 775/512, as its paper.")] = False,
    limit_train: Annotated[int | None, typer.Option(min=1, help="Take only so many training cases, drawn.")] = None,
    limit_val: Annotated[int | None, typer.Option(min=1, help="Take only so many validation cases, drawn.")] = None,
    limit_test: Annotated[int | None, typer.Option(min=1, help="Take only so many test cases, drawn.")] = None,
    out: Annotated[Path | None, typer.Option(help="nnU-Net's raw folder; else $nnUNet_raw.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of that id and name.")] = False,
) -> None:
    """Write a data set for nnU-Net.

    The split goes where nnU-Net reads it, the cases go to the raw folder.

    The three id files say which case goes where; without them the cases are divided at random with a fixed seed, and
    GlaS as its paper on neural ODEs divides it.

    Example: lightseg data convert isic2018 --to nnunet --id 18 --name ISIC2018 --val 259 --test 520
    """
    sides = None if size is None else read_size(size, "--size")
    id_files = [path for path in (train_ids, val_ids, test_ids) if path is not None]
    if len(id_files) not in (0, 3):
        raise typer.BadParameter("give all three or none", param_hint="--train-ids, --val-ids, --test-ids")
    raw = out or _raw_folder()

    from monai_lightseg.data import ReducedCase, Split, read_cases, read_id_list, write_nnunet_raw

    glands = _glands(directory)
    cases: Sequence[Case] = glands or read_cases(directory)
    gland_border = _gland_border(directory, glands, border, reduce)
    if id_files:
        split = Split(*map(read_id_list, id_files))
    else:
        split = _split_without_files([case.id for case in cases], glands, val, test)
    left_out = len(cases) - _size(split)
    split = split.limited(train=limit_train, val=limit_val, test=limit_test, seed=SEED)
    target = write_nnunet_raw(
        [ReducedCase(case) for case in cases] if reduce else cases,
        split,
        dataset_id=dataset_id,
        name=name,
        raw=raw,
        size=sides,
        foreground="gland" if glands else "lesion",
        border=gland_border,
        overwrite=overwrite,
    )
    typer.echo(f"wrote {target}: {len(split.train)} train, {len(split.val)} val, {len(split.test)} test")
    if left_out:
        typer.echo(f"left out: {left_out} cases that are in no list")
    if not os.environ.get(PREPROCESSED):
        typer.echo(
            f"{PREPROCESSED} is not set: after preprocessing, copy splits_final.json from there to the preprocessed "
            "dataset, or nnU-Net makes a random split",
            err=True,
        )


def _raw_folder() -> Path:
    folder = os.environ.get(RAW)
    if not folder:
        raise LightsegError(f"{RAW} is not set: export {RAW}=/path/to/{RAW}, or give --out")
    return Path(folder)


def _glands(directory: Path) -> list["GlasCase"]:
    """The cases of GlaS; none where the folder does not hold it."""
    from monai_lightseg.data import holds_glas, read_glas

    return read_glas(directory) if holds_glas(directory) else []


def _gland_border(directory: Path, glands: list["GlasCase"], border: int | None, reduce: bool) -> int | None:
    """The border of glands; None for masks, which refuse what is for GlaS only."""
    if glands:
        return GLAND_BORDER if border is None else border
    for option, given in (("--border", border is not None), ("--reduce", reduce)):
        if given:
            raise typer.BadParameter(f"is for GlaS only, and {directory} is not", param_hint=option)
    return None


def _split_without_files(ids: list[str], glands: list["GlasCase"], val: float | None, test: float | None) -> "Split":
    from monai_lightseg.data import glas_split, random_split

    if glands:
        if (val, test) != (None, None):
            raise typer.BadParameter("GlaS is divided as in its paper, or by id files", param_hint="--val, --test")
        split = glas_split(glands)
        typer.echo("no id files given: divided as in the GlaS paper, ten training images validate, tests A and B test")
        return split
    typer.echo(f"no id files given: divided at random, seed {SEED}")
    return random_split(ids, val=VAL if val is None else val, test=TEST if test is None else test, seed=SEED)


def _size(split: "Split") -> int:
    return len(split.train) + len(split.val) + len(split.test)
