"""What a split file can have wrong that nnU-Net would train on with one line in its log, or with none."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from monai_lightseg.data.listing import first_few
from monai_lightseg.data.nnunet_splits import SPLITS_FILE, number_of_folds
from monai_lightseg.errors import LightsegError

__all__ = ["require_fold"]


def require_fold(folder: Path, fold: int, cases: Collection[str] | None = None) -> None:
    """Check that the split file of a preprocessed dataset, where there is one, has the fold, and that it is sound.

    Args:
        folder: the dataset in the preprocessed folder.
        fold: number of the fold.
        cases: ids of the preprocessed cases; None where they are not known.

    Raises:
        LightsegError: the file is damaged or has no such fold; or a part of the fold is empty, both have a case in
            common, or one names a case that was not preprocessed.
    """
    path = folder / SPLITS_FILE
    folds = number_of_folds(folder)
    if folds is None:
        return
    if fold >= folds:
        raise LightsegError(
            f"{path} has {f'folds 0 to {folds - 1}' if folds else 'no folds'}, not {fold}: nnU-Net would make a random "
            "split instead; train a fold that is there, or write this one into the file"
        )
    train, val = _parts(path, fold)
    _require_none(path, fold, sorted(set(train) & set(val)), "has cases in train and in val; remove them from one")
    if cases is not None:
        unknown = sorted({*train, *val} - set(cases))
        _require_none(path, fold, unknown, "names cases that were not preprocessed; preprocess them or remove them")


def _parts(path: Path, fold: int) -> list[list[str]]:
    """The ids that train and those that validate."""
    splits = json.loads(path.read_text(encoding="utf-8"))
    named = splits[fold] if isinstance(splits, list) else None
    parts: list[Any] = [named.get(name) for name in ("train", "val")] if isinstance(named, dict) else []
    if not parts or not all(isinstance(ids, list) and ids and all(isinstance(i, str) for i in ids) for ids in parts):
        raise LightsegError(
            f'{path}: fold {fold} is no {{"train": [ids], "val": [ids]}} with ids in both; write it so, or train all'
        )
    return parts


def _require_none(path: Path, fold: int, cases: Sequence[str], fault: str) -> None:
    if cases:
        raise LightsegError(f"{path}: fold {fold} {fault}: {', '.join(first_few(cases))}")
