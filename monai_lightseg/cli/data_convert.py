"""`lightseg data convert`: a data set written for nnU-Net or for MONAI."""

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from monai_lightseg.cli.values import read_size
from monai_lightseg.errors import LightsegError

if TYPE_CHECKING:
    from monai_lightseg.data import DataSet, Folds, Protocol, Split

__all__ = ["convert"]

RAW = "nnUNet_raw"
PREPROCESSED = "nnUNet_preprocessed"
SEED = 42
VAL, TEST = 0.15, 0.2
GLAND_BORDER = 6
NAMES = {"isic2018": "ISIC2018", "isic2017": "ISIC2017", "ph2": "PH2", "glas": "GlaS"}


def convert(
    directory: Annotated[
        Path,
        typer.Argument(help="Folder of images and masks, of ISIC 2018, ISIC 2017, PH2 or GlaS.", metavar="DIR"),
    ],
    to: Annotated[Literal["nnunet", "datalist"], typer.Option(help="Format: nnU-Net's raw dataset, or MONAI's.")],
    dataset_id: Annotated[
        int | None, typer.Option("--id", help="nnunet: number of the dataset, 1 to 999; has to be given.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the dataset: letters, digits and underscores; else that of the data set."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="Divide by this protocol, see `lightseg data protocols`, or by a JSON file of your own."),
    ] = None,
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
    size: Annotated[
        str | None, typer.Option(help="Resize to HEIGHTxWIDTH; else to that of the protocol, if it has one.")
    ] = None,
    border: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="nnunet, GlaS: pixels of each gland that are border (label 2), the rest is core (label 1); 0: glands "
            f"are label 1. [default: {GLAND_BORDER}]",
        ),
    ] = None,
    reduce: Annotated[bool, typer.Option("--reduce", help="GlaS: divide the sides by 775/512, as its paper.")] = False,
    limit_train: Annotated[
        int | None, typer.Option(min=1, help="Without --protocol: take only so many training cases, drawn.")
    ] = None,
    limit_val: Annotated[
        int | None, typer.Option(min=1, help="Without --protocol: take only so many validation cases, drawn.")
    ] = None,
    limit_test: Annotated[
        int | None, typer.Option(min=1, help="Without --protocol: take only so many test cases, drawn.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="nnunet: raw folder, else $nnUNet_raw; datalist: the folder to make, has to be given."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset that is there.")] = False,
) -> None:
    """Write a data set for nnU-Net, or as PNG files with a datalist for MONAI.

    A protocol or three id files say which case goes where; with --test-ids alone the cases only test. Without them they
    are divided at random with a fixed seed, and GlaS as its paper on neural ODEs divides it.

    A conversion that was interrupted goes on when the same command is run again.

    Example: lightseg data convert isic2018 --to nnunet --id 18 --protocol isic2018-random42
    """
    start = time.monotonic()
    sides = None if size is None else read_size(size, "--size")
    id_files = (train_ids, val_ids, test_ids)
    if (train_ids is None) != (val_ids is None) or (train_ids is not None and test_ids is None):
        raise typer.BadParameter(
            "give all three, --test-ids alone for cases that only test, or none",
            param_hint="--train-ids, --val-ids, --test-ids",
        )
    shares = {"--val": val, "--test": test}
    limits = {"--limit-train": limit_train, "--limit-val": limit_val, "--limit-test": limit_test}
    if protocol is not None:
        ids = {"--train-ids": train_ids, "--test-ids": test_ids}
        _refuse({**ids, **shares, **limits}, "is not for a --protocol, which names every case")
        _refuse({"--reduce": reduce or None}, "is not for a --protocol, which says the size of the images")
    if test_ids is not None:
        _refuse(shares, "is for a random split, and the id files name every case")
    if to == "nnunet" and dataset_id is None:
        raise typer.BadParameter("nnU-Net needs a number, 1 to 999", param_hint="--id")
    if to == "datalist":
        _refuse({"--id": dataset_id, "--border": border}, "is for --to nnunet only")
    folder = _raw_folder(out) if to == "nnunet" else _datalist_folder(out)

    from monai_lightseg.data import (
        ReducedCase,
        load_protocol,
        overlap_warning,
        read_data_set,
        write_datalist,
        write_nnunet_raw,
    )
    from monai_lightseg.data.nnunet_names import safe_name

    data_set = read_data_set(directory)
    if not data_set.objects:
        _refuse({"--border": border, "--reduce": reduce or None}, f"is for GlaS only, and {directory} is not")
    _refuse_among_cases(folder, directory, data_set)
    rules = None if protocol is None else load_protocol(protocol)
    if rules is None:
        listed = _divide(data_set, id_files, val, test)
        split: Split | Folds = listed.limited(train=limit_train, val=limit_val, test=limit_test, seed=SEED)
        left_out = len(data_set.cases) - len(listed.ids)
    else:
        split = rules.select(data_set)
        left_out = len(data_set.cases) - len(split.ids)
        sides = _protocol_size(rules, sides)
    warning = overlap_warning(data_set)
    if warning is not None:
        typer.echo(f"warning: {warning}", err=True)
    shared: dict[str, Any] = {
        "name": name or NAMES.get(data_set.kind) or safe_name(directory.resolve().name),
        "size": sides,
        "foreground": data_set.foreground,
        "protocol": rules.name if rules is not None and sides == rules.image_size else None,
        "overwrite": overwrite,
    }
    cases = [ReducedCase(case) for case in data_set.cases] if reduce else data_set.cases
    try:
        if dataset_id is None:
            conversion = write_datalist(cases, split, folder=folder, **shared)
        else:
            glands = GLAND_BORDER if data_set.objects and border is None else border
            conversion = write_nnunet_raw(cases, split, dataset_id=dataset_id, raw=folder, border=glands, **shared)
    except KeyboardInterrupt:
        typer.echo("interrupted: the same command goes on from here", err=True)
        raise
    typer.echo(f"wrote {conversion.folder}: {_counts(split)}")
    if conversion.mismatched:
        typer.echo(f"{len(conversion.mismatched)} pairs of different size, each resized on its own")
    if left_out:
        typer.echo(f"left out: {left_out} cases that are in no list")
    typer.echo(f"took {time.monotonic() - start:.1f} s{_peak_memory()}")
    _say_what_is_next(conversion.folder, dataset_id, trains=bool(split.folds))


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that are given."""
    for option, value in options.items():
        if value is not None:
            raise typer.BadParameter(why, param_hint=option)


def _raw_folder(out: Path | None) -> Path:
    folder = os.environ.get(RAW)
    if out is not None:
        return out
    if not folder:
        raise LightsegError(f"{RAW} is not set: export {RAW}=/path/to/{RAW}, or give --out")
    return Path(folder)


def _datalist_folder(out: Path | None) -> Path:
    if out is None:
        raise typer.BadParameter("give the folder to make", param_hint="--out")
    return out


def _refuse_among_cases(folder: Path, directory: Path, data_set: "DataSet") -> None:
    """Refuse a folder among the files of the data set, where it would be read as one of them."""
    above = {directory, *directory.parents}
    paths = [path for case in data_set.cases for path in case.paths]
    holders = {up for path in paths for up in path.parents if up == path.parent or up not in above}
    target = folder.resolve()
    for holder in sorted(holders):
        if target.is_relative_to(holder.resolve()):
            raise LightsegError(f"{folder} lies inside {holder}, among the cases; choose another folder with --out")


def _divide(data_set: "DataSet", id_files: tuple[Path | None, ...], val: float | None, test: float | None) -> "Split":
    """Divide by the id files, or as is usual without them, and say so."""
    from monai_lightseg.data import GlasCase, Split, glas_split, random_split, read_id_list

    if any(id_files):
        return Split(*(() if path is None else read_id_list(path) for path in id_files))
    if data_set.kind == "glas":
        _refuse({"--val": val, "--test": test}, "GlaS is divided as in its paper, by a protocol, or by id files")
        split = glas_split([case for case in data_set.cases if isinstance(case, GlasCase)])
        typer.echo("no id files given: divided as in the GlaS paper, ten training images validate, tests A and B test")
        return split
    typer.echo(f"no id files given: divided at random, seed {SEED}")
    ids = [case.id for case in data_set.cases]
    return random_split(ids, val=VAL if val is None else val, test=TEST if test is None else test, seed=SEED)


def _protocol_size(protocol: "Protocol", size: tuple[int, int] | None) -> tuple[int, int] | None:
    """The size to take; the notes of the protocol are printed, and where another size is asked for."""
    for note in protocol.notes:
        typer.echo(f"note: {note}")
    if size not in (None, protocol.image_size):
        wanted = "x".join(map(str, protocol.image_size)) if protocol.image_size else "the sizes as they are"
        typer.echo(f"warning: {protocol.name} asks for {wanted}; figures at another size do not compare", err=True)
    return size or protocol.image_size


def _counts(split: "Split | Folds") -> str:
    from monai_lightseg.data import Split

    if isinstance(split, Split):
        return f"{len(split.train)} train, {len(split.val)} val, {len(split.test)} test"
    return f"{len(split.parts)} folds of {', '.join(str(len(part)) for part in split.parts)} cases"


def _peak_memory() -> str:
    """What to say of the most memory this process has held; nothing on Windows, which does not count it so."""
    if sys.platform == "win32":
        return ""
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return f", peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:.0f} MiB"


def _say_what_is_next(folder: Path, dataset_id: int | None, *, trains: bool) -> None:
    if dataset_id is None:
        from monai_lightseg.data.datalist import DATALIST_FILE

        key = "training" if trains else "test"
        text = (
            "from monai.data import load_decathlon_datalist; "
            f"print(load_decathlon_datalist({json.dumps(str(folder / DATALIST_FILE))}, True, {json.dumps(key)})[0])"
        )
        command = f"python -c {shlex.quote(text)}"
    elif trains:
        if not os.environ.get(PREPROCESSED):
            from monai_lightseg.data.nnunet_splits import SPLITS_FILE

            typer.echo(
                f"{PREPROCESSED} is not set: after preprocessing, copy {folder / SPLITS_FILE} to the preprocessed "
                "dataset, or nnU-Net makes a random split",
                err=True,
            )
        raw = folder.parent
        elsewhere = Path(os.environ.get(RAW, "")).resolve() != raw.resolve()
        variable = f"{RAW}={shlex.quote(str(raw))} " if elsewhere else ""
        command = f"{variable}nnUNetv2_plan_and_preprocess -d {dataset_id} -c 2d"
    else:
        images = shlex.quote(str(folder / "imagesTs"))
        command = f"lightseg nnunet predict -i {images} -o PREDICTIONS -d TRAINED_DATASET -c 2d -f 0 -tr TRAINER"
    typer.echo(f"next: {command}")
