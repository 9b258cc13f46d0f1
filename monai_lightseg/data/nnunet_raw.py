"""Cases written as a raw dataset for nnU-Net v2."""

import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from monai_lightseg.atomic import atomic_folder, write_text
from monai_lightseg.data.cases import Case
from monai_lightseg.data.gland_targets import core_border_labels
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.nnunet_names import check_case_ids, nnunet_dataset_name, refuse_second_name
from monai_lightseg.data.nnunet_splits import SPLITS_FILE, splits_text
from monai_lightseg.data.splits import Split
from monai_lightseg.errors import LightsegError

__all__ = ["write_nnunet_raw"]

_WORKERS = 4
_ERRORS_SHOWN = 20
_LARGEST_LABEL = 65535  # of a 16-bit PNG


def write_nnunet_raw(
    cases: Sequence[Case],
    split: Split,
    *,
    dataset_id: int,
    name: str,
    raw: Path,
    preprocessed: Path | None = None,
    size: tuple[int, int] | None = None,
    foreground: str = "lesion",
    border: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Path:
    """Write the cases of a split as a raw nnU-Net dataset, whole or not at all.

    The cases that train and validate go to imagesTr and labelsTr, the test cases to imagesTs and labelsTs, as 8-bit
    RGB images and masks of 0 and 1; cases outside the split are passed over. The split is written beside
    dataset.json, and to the preprocessed folder, the one place where nnU-Net's training looks for it.

    Where `border` is given, the cases hold instance labels. They are written to instancesTr and instancesTs, for
    scoring, and nnU-Net's labels are classes that keep touching objects apart: core 1 and border 2.

    Args:
        cases: the cases, at least those the split names.
        split: which cases train, validate and test.
        dataset_id: nnU-Net's number for the dataset, 1 to 999.
        name: letters, digits and underscores; the folder is `Dataset{dataset_id:03d}_{name}`.
        raw: nnU-Net's raw folder, in which the dataset folder is made.
        preprocessed: nnU-Net's preprocessed folder; None takes the environment variable nnUNet_preprocessed, and
            where that is not set writes no second copy of the split.
        size: (height, width) to resize to, images bilinear and masks nearest; None keeps each case's own size.
        foreground: name of label 1 where there is no border.
        border: width in pixels of the border, taken from each object after resizing; 0 makes one class of objects,
            with their instances beside it. None makes one class of all that is marked, and writes no instances.
        overwrite: replace a dataset of the same number and name.
        progress: show a progress bar on stderr.

    Returns:
        The dataset folder.

    Raises:
        LightsegError: a bad argument or case id, a case missing, a dataset already there, a number taken by another
            name, images preprocessed from an earlier dataset, a folder that cannot be written, or files that cannot be
            read: these in one error, one line per file, the first 20.
    """
    dataset_name = nnunet_dataset_name(dataset_id, name, foreground)
    if size is not None and min(size) < 1:
        raise LightsegError(f"size is {size}; pass a height and a width of at least 1")
    if border is not None and border < 0:
        raise LightsegError(f"border is {border}; pass 0 or more")
    check_case_ids(case.id for case in cases)
    split.check([case.id for case in cases])
    target = raw / dataset_name
    splits_file = _preprocessed_splits_file(dataset_name, preprocessed)
    for path in (target, splits_file):
        if path is not None and path.exists() and not overwrite:
            raise LightsegError(f"{path} is already there; overwrite it, give another id and name, or remove it")
    if splits_file is not None and (splits_file.parent / "dataset_fingerprint.json").exists():
        raise LightsegError(
            f"{splits_file.parent} holds images preprocessed from an earlier dataset of this name, which nnU-Net would "
            "go on using: remove that folder first"
        )
    refuse_second_name(raw, dataset_name)
    if splits_file is not None:
        refuse_second_name(splits_file.parent.parent, dataset_name)
    try:
        with atomic_folder(target) as folder:
            _write_pictures(cases, split, folder, size, border, progress)
            classes = ["core", "border"] if border else [foreground]
            write_text(folder / "dataset.json", _dataset_text(name, split, classes))
            write_text(folder / SPLITS_FILE, splits_text(split))
            # Inside the block, so that a preprocessed folder that cannot be written leaves no raw dataset either.
            if splits_file is not None:
                write_text(splits_file, splits_text(split))
    except OSError as error:
        raise LightsegError(f"{target} cannot be written ({error}); check the folder and the space on disk") from error
    return target


def _preprocessed_splits_file(dataset_name: str, preprocessed: Path | None) -> Path | None:
    from_environment = os.environ.get("nnUNet_preprocessed")
    if preprocessed is None and from_environment:
        preprocessed = Path(from_environment)
    return None if preprocessed is None else preprocessed / dataset_name / SPLITS_FILE


def _dataset_text(name: str, split: Split, classes: Sequence[str]) -> str:
    content = {
        "name": name,
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {label: value for value, label in enumerate(["background", *classes])},
        "numTraining": len(split.train) + len(split.val),
        "file_ending": ".png",
    }
    return json.dumps(content, indent=2) + "\n"


def _write_pictures(
    cases: Sequence[Case],
    split: Split,
    folder: Path,
    size: tuple[int, int] | None,
    border: int | None,
    progress: bool,
) -> None:
    parts = dict.fromkeys((*split.train, *split.val), "Tr") | dict.fromkeys(split.test, "Ts")
    kinds = ["images", "labels"] if border is None else ["images", "labels", "instances"]
    for part in sorted(set(parts.values())):
        for kind in kinds:
            (folder / f"{kind}{part}").mkdir()

    def write(case: Case) -> str | None:
        return _write_case(case, folder, parts[case.id], size, border)

    wanted = [case for case in cases if case.id in parts]
    with ThreadPoolExecutor(_WORKERS) as pool:
        outcomes = tqdm(pool.map(write, wanted), total=len(wanted), desc="writing cases", disable=not progress)
        errors = [outcome for outcome in outcomes if outcome is not None]
    if errors:
        raise LightsegError("\n".join(first_few(errors, _ERRORS_SHOWN)))


def _write_case(case: Case, folder: Path, part: str, size: tuple[int, int] | None, border: int | None) -> str | None:
    """Write one case; return why it cannot be written, so that one bad file does not hide the next."""
    try:
        image, marked = case.read_pair()
    except LightsegError as error:
        return str(error)
    file_name = f"{case.id}.png"
    _picture(image, size, Image.Resampling.BILINEAR).save(folder / f"images{part}" / f"{case.id}_0000.png")
    instances = np.asarray(_picture(marked, size, Image.Resampling.NEAREST))
    labels = core_border_labels(instances, border) if border else (instances > 0).astype(np.uint8)
    Image.fromarray(labels).save(folder / f"labels{part}" / file_name)
    if border is not None:
        highest = int(instances.max())
        if highest > _LARGEST_LABEL:
            return f"{case.id} has an object with the number {highest}; number its objects from 1 to {_LARGEST_LABEL}"
        depth = np.uint8 if highest < 256 else np.uint16
        Image.fromarray(instances.astype(depth)).save(folder / f"instances{part}" / file_name)
    return None


def _picture(pixels: NDArray[Any], size: tuple[int, int] | None, resampling: Image.Resampling) -> Image.Image:
    picture = Image.fromarray(pixels)
    return picture if size is None else picture.resize((size[1], size[0]), resampling)
