"""Cases written as a raw dataset for nnU-Net v2."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_lightseg.atomic import write_text
from monai_lightseg.data.cases import Case, Label
from monai_lightseg.data.conversion import (
    CONVERSION_FILE,
    Conversion,
    check_case_ids,
    check_size,
    conversion_text,
    os_errors_named,
    write_pictures,
    writing,
)
from monai_lightseg.data.gland_targets import core_border_labels
from monai_lightseg.data.nnunet_names import nnunet_dataset_name, refuse_mask_names, refuse_second_name
from monai_lightseg.data.nnunet_splits import SPLITS_FILE, splits_text
from monai_lightseg.data.splits import Folds, Split
from monai_lightseg.errors import LightsegError

__all__ = ["write_nnunet_raw"]

_DATASET_FILE = "dataset.json"
_ENTRIES = frozenset(
    {_DATASET_FILE, CONVERSION_FILE, SPLITS_FILE}
    | {f"{kind}{part}" for kind in ("images", "labels", "instances") for part in ("Tr", "Ts")}
)
_LARGEST_LABEL = 65535  # of a 16-bit PNG


def write_nnunet_raw(
    cases: Sequence[Case],
    split: Split | Folds,
    *,
    dataset_id: int,
    name: str,
    raw: Path,
    preprocessed: Path | None = None,
    size: tuple[int, int] | None = None,
    foreground: str = "lesion",
    border: int | None = None,
    protocol: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Conversion:
    """Write the cases of a split as a raw nnU-Net dataset, whole or not at all.

    The cases that train and validate go to imagesTr and labelsTr, the test cases to imagesTs and labelsTs, as 8-bit
    RGB images and masks of 0 and 1; cases outside the split are passed over. The split is written beside
    dataset.json, and to the preprocessed folder, the one place where nnU-Net's training looks for it; where all cases
    only test, there is none. `lightseg_conversion.json` says what was done.

    A process that was interrupted or killed leaves `.Dataset..._NAME.partial` in the raw folder, and the same call
    goes on from there; any error removes it.

    Where `border` is given, the cases hold instance labels. They are written to instancesTr and instancesTs, for
    scoring, and nnU-Net's labels are classes that keep touching objects apart: core 1 and border 2.

    Args:
        cases: the cases, at least those the split names.
        split: which cases train, validate and test; one fold per part of a cross-validation.
        dataset_id: nnU-Net's number for the dataset, 1 to 999.
        name: letters, digits and underscores; the folder is `Dataset{dataset_id:03d}_{name}`.
        raw: nnU-Net's raw folder, in which the dataset folder is made.
        preprocessed: nnU-Net's preprocessed folder; None takes the environment variable nnUNet_preprocessed, and
            where that is not set writes no second copy of the split.
        size: (height, width) to resize to, images bilinear and masks nearest, each on its own where their sizes
            differ; None keeps each case's own size.
        foreground: name of label 1 where there is no border.
        border: width in pixels of the border, taken from each object after resizing; 0 makes one class of objects,
            with their instances beside it. None makes one class of all that is marked, and writes no instances.
        protocol: name of the protocol that is followed, for `lightseg_conversion.json`.
        overwrite: replace what such a call wrote under this number and name; a folder that holds anything else is not
            replaced.
        progress: show a progress bar on stderr.

    Returns:
        The dataset folder, and the cases whose image and mask differed in size.

    Raises:
        LightsegError: a bad argument or case id, a case missing, a dataset already there, a number taken by another
            name, images preprocessed from an earlier dataset, another process at work on the same dataset, a folder
            that cannot be written, or files that cannot be read or, without `size`, differ in size: these in one
            error, one line per file, the first 20.
    """
    dataset_name = nnunet_dataset_name(dataset_id, name, foreground)
    check_size(size)
    if border is not None and border < 0:
        raise LightsegError(f"border is {border}; pass 0 or more")
    ids = [case.id for case in cases]
    check_case_ids(ids)
    refuse_mask_names(ids)
    split.check(ids)
    target = raw / dataset_name
    preprocessed = _preprocessed_folder(preprocessed)
    splits_file = preprocessed / dataset_name / SPLITS_FILE if preprocessed is not None and split.folds else None
    with os_errors_named(target):
        for folder in (raw, preprocessed):
            if folder is not None:
                refuse_second_name(folder, dataset_name)
        if splits_file is not None:
            _check_preprocessed(splits_file, split, overwrite)
    settings = {
        "format": "nnunet",
        "folds": split.folds,
        "test": split.test,
        "name": name,
        "size": size,
        "foreground": foreground,
        "border": border,
        "protocol": protocol,
    }

    def render(case_id: str, image: NDArray[np.uint8], label: Label) -> list[NDArray[Any]]:
        classes = core_border_labels(label, border) if border else (label > 0).astype(np.uint8)
        return [image, classes] if border is None else [image, classes, _instances(case_id, label)]

    with writing(target, cases, settings, entries=_ENTRIES, overwrite=overwrite, progress=progress) as partial:
        files = _files(split, instances=border is not None)
        mismatched = write_pictures(partial, cases, files, render, size=size, progress=progress)
        classes = ["core", "border"] if border else [foreground]
        write_text(partial.content / _DATASET_FILE, _dataset_text(name, split, classes))
        text = conversion_text(cases, split, protocol=protocol, size=size, border=border, mismatched=mismatched)
        write_text(partial.content / CONVERSION_FILE, text)
        if split.folds:
            write_text(partial.content / SPLITS_FILE, splits_text(split))
        # Inside the block, so that a preprocessed folder that cannot be written leaves no raw dataset either.
        if splits_file is not None:
            write_text(splits_file, splits_text(split))
    return Conversion(target, mismatched)


def _preprocessed_folder(preprocessed: Path | None) -> Path | None:
    from_environment = os.environ.get("nnUNet_preprocessed")
    return Path(from_environment) if preprocessed is None and from_environment else preprocessed


def _check_preprocessed(splits_file: Path, split: Split | Folds, overwrite: bool) -> None:
    # The same split may be there from a conversion that was killed at its very end.
    if splits_file.exists() and not overwrite and splits_file.read_bytes() != splits_text(split).encode():
        raise LightsegError(
            f"{splits_file} is already there; give another id and name, or --overwrite (overwrite=True) to replace it"
        )
    if (splits_file.parent / "dataset_fingerprint.json").exists():
        raise LightsegError(
            f"{splits_file.parent} holds images preprocessed from an earlier dataset of this name, which nnU-Net would "
            "go on using: remove that folder first"
        )


def _dataset_text(name: str, split: Split | Folds, classes: Sequence[str]) -> str:
    content = {
        "name": name,
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {label: value for value, label in enumerate(["background", *classes])},
        "numTraining": len(split.ids) - len(split.test),
        "file_ending": ".png",
    }
    return json.dumps(content, indent=2) + "\n"


def _files(split: Split | Folds, *, instances: bool) -> dict[str, list[str]]:
    """Where the pictures of each case go: image, labels, instances."""
    parts = dict.fromkeys(split.ids, "Tr") | dict.fromkeys(split.test, "Ts")
    labels = ["labels", "instances"] if instances else ["labels"]
    return {
        case_id: [f"images{part}/{case_id}_0000.png", *(f"{kind}{part}/{case_id}.png" for kind in labels)]
        for case_id, part in parts.items()
    }


def _instances(case_id: str, label: Label) -> NDArray[Any]:
    highest = int(label.max())
    if highest > _LARGEST_LABEL:
        raise LightsegError(
            f"{case_id} has an object with the number {highest}; number its objects from 1 to {_LARGEST_LABEL}"
        )
    return label.astype(np.uint8 if highest < 256 else np.uint16)
