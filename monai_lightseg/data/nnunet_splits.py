"""The split file of a nnU-Net dataset.

Training reads `splits_final.json` from the preprocessed folder only, and where there is none makes a split of its own
without a word.
"""

import json
from pathlib import Path
from typing import Any

from monai_lightseg.atomic import write_text
from monai_lightseg.data.splits import Folds, Split
from monai_lightseg.errors import LightsegError

__all__ = ["SPLITS_FILE", "check_splits", "install_splits", "number_of_folds", "splits_text"]

SPLITS_FILE = "splits_final.json"


def splits_text(split: Split | Folds) -> str:
    """Return the text of the split file: per fold, the cases that train and those that validate."""
    return json.dumps([{"train": train, "val": val} for train, val in split.folds], indent=2) + "\n"


def check_splits(raw_dataset: Path, preprocessed_dataset: Path) -> None:
    """Check that training would use the split that lies with the raw dataset; without one there is nothing to check.

    Args:
        raw_dataset: the dataset in the raw folder, such as raw/Dataset018_ISIC.
        preprocessed_dataset: the dataset of the same name in the preprocessed folder.

    Raises:
        LightsegError: the preprocessed dataset has no split file or a different one, or a split file is damaged.
    """
    source, target = raw_dataset / SPLITS_FILE, preprocessed_dataset / SPLITS_FILE
    if not source.exists():
        return
    if not target.exists():
        raise LightsegError(f"{target} is missing and nnU-Net would make its own split; copy {source} there")
    if _read_json(source) != _read_json(target):
        raise LightsegError(f"{target} differs from {source}; copy the second over the first")


def install_splits(raw_dataset: Path, preprocessed_dataset: Path) -> None:
    """Copy the split file of the raw dataset to the preprocessed one, over any that is there.

    Raises:
        LightsegError: the raw dataset has no split file or a damaged one, or the copy cannot be written.
    """
    source, target = raw_dataset / SPLITS_FILE, preprocessed_dataset / SPLITS_FILE
    content = _read_json(source)
    try:
        write_text(target, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise LightsegError(f"{target} cannot be written ({error}); check the folder") from error


def number_of_folds(preprocessed_dataset: Path) -> int | None:
    """How many folds the split file has that nnU-Net's training reads; None where there is none.

    Raises:
        LightsegError: the file is damaged.
    """
    path = preprocessed_dataset / SPLITS_FILE
    return len(_read_json(path)) if path.is_file() else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LightsegError(f"{path} cannot be read as JSON ({error}); write the dataset again") from error
