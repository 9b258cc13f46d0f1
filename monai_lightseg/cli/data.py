"""`lightseg data`: data sets in, data sets out."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from monai_lightseg.cli.values import read_size
from monai_lightseg.errors import LightsegError

if TYPE_CHECKING:
    from monai_lightseg.data import Split

__all__ = ["data_app"]

RAW = "nnUNet_raw"
PREPROCESSED = "nnUNet_preprocessed"
SEED = 42

data_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@data_app.callback()
def data() -> None:
    """Read and convert data sets.

    Example: lightseg data convert --help
    """


@data_app.command()
def convert(
    directory: Annotated[Path, typer.Argument(help="Folder of images and masks, or of ISIC 2018.", metavar="DIR")],
    to: Annotated[Literal["nnunet"], typer.Option(help="Format to write.")],
    dataset_id: Annotated[int, typer.Option("--id", help="nnU-Net's number for the dataset, 1 to 999.")],
    name: Annotated[str, typer.Option(help="Name of the dataset: letters, digits and underscores.")],
    train_ids: Annotated[Path | None, typer.Option(help="File with the ids that train, one per line.")] = None,
    val_ids: Annotated[Path | None, typer.Option(help="File with the ids that validate.")] = None,
    test_ids: Annotated[Path | None, typer.Option(help="File with the ids that test.")] = None,
    val: Annotated[float, typer.Option(min=0, help="Without id files: share that validates, or number from 1.")] = 0.15,
    test: Annotated[float, typer.Option(min=0, help="Without id files: share that tests, or number from 1.")] = 0.2,
    size: Annotated[str | None, typer.Option(help="Resize to HEIGHTxWIDTH; else sizes stay as they are.")] = None,
    limit_train: Annotated[int | None, typer.Option(min=1, help="Take only so many training cases, drawn.")] = None,
    limit_val: Annotated[int | None, typer.Option(min=1, help="Take only so many validation cases, drawn.")] = None,
    limit_test: Annotated[int | None, typer.Option(min=1, help="Take only so many test cases, drawn.")] = None,
    out: Annotated[Path | None, typer.Option(help="nnU-Net's raw folder; else $nnUNet_raw.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of that id and name.")] = False,
) -> None:
    """Write a data set for nnU-Net.

    The split goes where nnU-Net reads it, the cases go to the raw folder.

    The three id files say which case goes where; without them the cases are divided at random with a fixed seed.

    Example: lightseg data convert isic2018 --to nnunet --id 18 --name ISIC2018 --val 259 --test 520
    """
    sides = None if size is None else read_size(size, "--size")
    id_files = [path for path in (train_ids, val_ids, test_ids) if path is not None]
    if len(id_files) not in (0, 3):
        raise typer.BadParameter("give all three or none", param_hint="--train-ids, --val-ids, --test-ids")
    raw = out or _raw_folder()

    from monai_lightseg.data import Split, random_split, read_cases, read_id_list, write_nnunet_raw

    cases = read_cases(directory)
    if id_files:
        split = Split(*map(read_id_list, id_files))
    else:
        split = random_split([case.id for case in cases], val=val, test=test, seed=SEED)
        typer.echo(f"no id files given: divided at random, seed {SEED}")
    left_out = len(cases) - _size(split)
    split = split.limited(train=limit_train, val=limit_val, test=limit_test, seed=SEED)
    target = write_nnunet_raw(cases, split, dataset_id=dataset_id, name=name, raw=raw, size=sides, overwrite=overwrite)
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


def _size(split: "Split") -> int:
    return len(split.train) + len(split.val) + len(split.test)
