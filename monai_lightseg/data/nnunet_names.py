"""The names that nnU-Net takes without mixing two things up."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from monai_lightseg.data.listing import first_few
from monai_lightseg.errors import LightsegError

__all__ = ["check_case_ids", "nnunet_dataset_name", "refuse_second_name"]

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


def check_case_ids(ids: Iterable[str]) -> None:
    """Check that each id makes file names that nnU-Net can tell apart, on any file system.

    Raises:
        LightsegError: an id has characters other than letters, digits, `_`, `.` and `-`, starts with `.` or `-`, ends
            in `_seg`, or is there twice, upper and lower case being the same.
    """
    names = list(ids)
    # nnU-Net keeps the mask of case X as X_seg beside the images, and takes a case called X_seg for one.
    bad = [name for name in names if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!_seg)", name)]
    if bad:
        raise LightsegError(
            f"case ids nnU-Net cannot take: {', '.join(first_few([repr(name) for name in bad]))}; "
            "use letters, digits, _ . and -, with a letter, digit or _ first and not _seg last"
        )
    counts = Counter(name.lower() for name in names)
    repeated = [name for name in names if counts[name.lower()] > 1]
    if repeated:
        raise LightsegError(f"case ids that make the same file name: {', '.join(first_few(repeated))}; rename them")
