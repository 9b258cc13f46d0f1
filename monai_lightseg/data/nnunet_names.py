"""The names that nnU-Net takes without mixing two things up."""

import re
from collections.abc import Iterable
from pathlib import Path

from monai_lightseg.data.listing import first_few
from monai_lightseg.errors import LightsegError

__all__ = ["nnunet_dataset_name", "refuse_mask_names", "refuse_second_name", "safe_name"]

_RESERVED_LABELS = frozenset({"", "background", "ignore"})


def nnunet_dataset_name(dataset_id: int, name: str, foreground: str) -> str:
    """Return the folder name, such as Dataset018_ISIC, once id, name and foreground label are found good.

    Raises:
        LightsegError: the id is not in 1..999, the name is not letters, digits and underscores, or the label is empty
            or one that nnU-Net keeps for itself.
    """
    if not 1 <= dataset_id <= 999:
        raise LightsegError(f"dataset_id is {dataset_id}; pass a number from 1 to 999")
    if not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise LightsegError(f"name {name!r} is not a nnU-Net name; use letters, digits and underscores only")
    if foreground in _RESERVED_LABELS:
        raise LightsegError(f"foreground {foreground!r} is no name for a label; pass another, such as lesion")
    return f"Dataset{dataset_id:03d}_{name}"


def refuse_second_name(folder: Path, dataset_name: str) -> None:
    """Check that no other dataset in `folder` has the same number; nnU-Net then runs neither of them.

    Raises:
        LightsegError: there is one.
    """
    number = dataset_name[: len("Dataset000")]
    # nnU-Net looks for the bare prefix, so "Dataset018" and "Dataset0180_X" count as well.
    others = sorted(path for path in folder.glob(f"{number}*") if path.is_dir() and path.name != dataset_name)
    if others:
        raise LightsegError(f"{others[0]} has the same number as {dataset_name}; pass another dataset_id or remove it")


def refuse_mask_names(ids: Iterable[str]) -> None:
    """Check that no id ends in `_seg`: nnU-Net keeps the mask of case X as X_seg beside the images.

    Raises:
        LightsegError: some do.
    """
    bad = [repr(name) for name in ids if name.endswith("_seg")]
    if bad:
        raise LightsegError(f"case ids that nnU-Net takes for masks: {', '.join(first_few(bad))}; rename them")


def safe_name(text: str) -> str:
    """Return `text` with one underscore for each run of characters that nnU-Net does not take in a name."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_") or "Cases"
