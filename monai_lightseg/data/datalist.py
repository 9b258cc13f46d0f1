"""Cases written as PNG files with a datalist, as MONAI reads it."""

import json
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
    write_pictures,
    writing,
)
from monai_lightseg.data.splits import Folds, Split

__all__ = ["DATALIST_FILE", "write_datalist"]

DATALIST_FILE = "datalist.json"
_ENTRIES = frozenset({DATALIST_FILE, CONVERSION_FILE, "images", "labels"})


def write_datalist(
    cases: Sequence[Case],
    split: Split | Folds,
    *,
    name: str,
    folder: Path,
    size: tuple[int, int] | None = None,
    foreground: str = "lesion",
    protocol: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Conversion:
    """Write the cases of a split for MONAI, whole or not at all.

    `images` and `labels` hold 8-bit RGB images and masks of 0 and 1, where instance labels become one mask of all
    objects. `datalist.json` lists them under "training", "validation" and "test" as `load_decathlon_datalist` takes
    it; of a cross-validation all are under "training", each with the number of the "fold" in which it validates, as
    MONAI's Auto3DSeg takes it. A part without cases has no list. `lightseg_conversion.json` says what was done.

    A process that was interrupted or killed leaves `.FOLDER.partial` beside the folder, and the same call goes on from
    there; any error removes it.

    Args:
        cases: the cases, at least those the split names.
        split: which cases train, validate and test.
        name: name of the data set, for the datalist.
        folder: the folder to make.
        size: (height, width) to resize to, images bilinear and masks nearest, each on its own where their sizes
            differ; None keeps each case's own size.
        foreground: name of label 1.
        protocol: name of the protocol that is followed, for `lightseg_conversion.json`.
        overwrite: replace what such a call wrote; a folder that holds anything else is not replaced.
        progress: show a progress bar on stderr.

    Returns:
        The folder, and the cases whose image and mask differed in size.

    Raises:
        LightsegError: a bad size or case id, a case missing, a folder already there, another process at work on it, a
            folder that cannot be written, or files that cannot be read or, without `size`, differ in size: these in
            one error, one line per file, the first 20.
    """
    check_size(size)
    ids = [case.id for case in cases]
    check_case_ids(ids)
    split.check(ids)
    lists = _lists(split)
    content = {
        "name": name,
        "description": f"{name}, written by monai-lightseg",
        "modality": {"0": "R", "1": "G", "2": "B"},
        "labels": {"0": "background", "1": foreground},
        "numTraining": len(lists.get("training", ())),
        "numTest": len(split.test),
        **lists,
    }
    settings = {"format": "datalist", "content": content, "size": size, "protocol": protocol}
    with writing(folder, cases, settings, entries=_ENTRIES, overwrite=overwrite, progress=progress) as partial:
        files = {case_id: [*_entry(case_id).values()] for case_id in split.ids}
        mismatched = write_pictures(partial, cases, files, _render, size=size, progress=progress)
        write_text(partial.content / DATALIST_FILE, json.dumps(content, indent=2) + "\n")
        text = conversion_text(cases, split, protocol=protocol, size=size, border=None, mismatched=mismatched)
        write_text(partial.content / CONVERSION_FILE, text)
    return Conversion(folder, mismatched)


def _lists(split: Split | Folds) -> dict[str, list[dict[str, Any]]]:
    if isinstance(split, Folds):
        folds = [_entry(case_id) | {"fold": fold} for fold, part in enumerate(split.parts) for case_id in part]
        return {"training": folds}
    parts = {"training": split.train, "validation": split.val, "test": split.test}
    return {part: [_entry(case_id) for case_id in ids] for part, ids in parts.items() if ids}


def _entry(case_id: str) -> dict[str, str]:
    return {"image": f"images/{case_id}.png", "label": f"labels/{case_id}.png"}


def _render(case_id: str, image: NDArray[np.uint8], label: Label) -> list[NDArray[np.uint8]]:
    return [image, (label > 0).astype(np.uint8)]
