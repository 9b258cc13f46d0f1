"""PH2, 200 dermoscopic images, with the folder and file names it is published under."""

import re
from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.listing import first_few
from monai_lightseg.errors import LightsegError

__all__ = ["holds_ph2", "ph2_ids", "read_ph2"]

_TOP, _IMAGES, _LIST = "PH2Dataset", "PH2 Dataset images", "PH2_dataset.txt"
_ID = re.compile(r"\bIMD\d{3}\b")


def holds_ph2(folder: Path) -> bool:
    """Whether `folder` is the unpacked PH2Dataset, or holds it."""
    top = _top(folder)
    return (top / _IMAGES).is_dir() or (top / _LIST).is_file()


def read_ph2(folder: Path) -> list[FileCase]:
    """List the cases of PH2; no pixel is read.

    There may be fewer than the 200 that PH2_dataset.txt lists. Without that file, nothing is checked against it.

    Args:
        folder: PH2Dataset, or the folder that holds it.

    Returns:
        The cases, sorted by id (such as IMD002).

    Raises:
        LightsegError: there is no case, a case lacks its image or its lesion, or the list does not name it; one line
            per case, the first 5.
    """
    top = _top(folder)
    if not (top / _IMAGES).is_dir():
        raise LightsegError(f"{top} does not hold {_IMAGES}; pass the unpacked {_TOP}")
    names = sorted(path.name for path in (top / _IMAGES).iterdir() if path.is_dir() and not path.name.startswith("."))
    if not names:
        raise LightsegError(f"{top / _IMAGES} holds no case such as IMD002; unpack {_TOP} again")
    listed = ph2_ids(top / _LIST) if (top / _LIST).exists() else names
    cases = [_case(top / _IMAGES, name) for name in names]
    problems = [
        *(f"{top / _IMAGES / name} is not listed in {_LIST}; remove it" for name in names if name not in listed),
        *(
            f"{path} is missing; unpack it again or remove its case"
            for case in cases
            for path in case.paths
            if not path.is_file()
        ),
    ]
    if problems:
        raise LightsegError("\n".join(first_few(problems)))
    return cases


def ph2_ids(path: Path) -> list[str]:
    """Return the ids that PH2_dataset.txt names, in its order; how its columns are divided does not count.

    Raises:
        LightsegError: the file cannot be read or names no id.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LightsegError(f"{path} cannot be read ({error.strerror}); unpack it again") from error
    ids = list(dict.fromkeys(_ID.findall(text)))
    if not ids:
        raise LightsegError(f"{path} names no id such as IMD002; unpack it again")
    return ids


def _top(folder: Path) -> Path:
    return folder / _TOP if (folder / _TOP).is_dir() else folder


def _case(images: Path, name: str) -> FileCase:
    return FileCase(
        name,
        images / name / f"{name}_Dermoscopic_Image" / f"{name}.bmp",
        images / name / f"{name}_lesion" / f"{name}_lesion.bmp",
    )
