"""The data set that a folder holds, by what is in it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.data_set import DataSet, Kind
from monai_lightseg.data.folder import read_folder
from monai_lightseg.data.glas import holds_glas, read_glas
from monai_lightseg.data.isic import holds_isic2017, holds_isic2018, read_isic2017, read_isic2018
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.ph2 import holds_ph2, read_ph2
from monai_lightseg.errors import LightsegError

__all__ = ["read_data_set"]


def read_data_set(folder: Path) -> DataSet:
    """Read what a folder holds: ISIC 2018 Task 1, ISIC 2017, PH2, GlaS, or images and masks; no pixel is read.

    Args:
        folder: the folder into which the official archives were unpacked, or one that holds `images` and `masks`.

    Returns:
        The data set, with the ids of the official parts that are there.

    Raises:
        LightsegError: nothing of the kind is there, several are, or the one that is there is incomplete.
    """
    if not folder.is_dir():
        raise LightsegError(f"{folder} is no folder; unpack archives first and check the path")
    try:
        found = _layouts(folder)
        if len(found) > 1:
            titles = " and ".join(layout.title for layout in found)
            raise LightsegError(f"{folder} holds {titles}; give each a folder of its own and pass one of them")
        if not found:
            raise LightsegError(_nothing_found(folder))
        return found[0].data_set(folder)
    except OSError as error:
        raise LightsegError(
            f"{error.filename or folder} cannot be read ({error.strerror}); check its permissions"
        ) from error


# Cases by official part; under the empty name where the makers divided nothing.
_Parts = Mapping[str, Sequence[FileCase]]


class _Layout(NamedTuple):
    kind: Kind
    title: str
    looked_for: str
    holds: Callable[[Path], bool]
    read: Callable[[Path], _Parts]
    foreground: str = "lesion"
    objects: bool = False

    def data_set(self, folder: Path) -> DataSet:
        parts = self.read(folder)
        cases = tuple(case for part in parts.values() for case in part)
        ids = {part: tuple(case.id for case in cases) for part, cases in parts.items() if part}
        return DataSet(self.kind, self.title, cases, ids, self.foreground, self.objects)


def _glas_parts(folder: Path) -> _Parts:
    cases = read_glas(folder)
    return {part: [case for case in cases if case.part == part] for part in dict.fromkeys(case.part for case in cases)}


def _holds_folder(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("images", "masks"))


_LAYOUTS = (
    _Layout(
        "isic2018",
        "ISIC 2018 Task 1",
        "ISIC2018_Task1-2_Training_Input with ISIC2018_Task1_Training_GroundTruth, or Validation or Test for Training",
        holds_isic2018,
        read_isic2018,
    ),
    _Layout(
        "isic2017",
        "ISIC 2017",
        "ISIC-2017_Training_Data with ISIC-2017_Training_Part1_GroundTruth, or Validation or Test_v2 for Training",
        holds_isic2017,
        read_isic2017,
    ),
    _Layout("ph2", "PH2", "PH2Dataset with PH2 Dataset images in it", holds_ph2, lambda folder: {"": read_ph2(folder)}),
    _Layout("glas", "GlaS", "images such as train_1.bmp", holds_glas, _glas_parts, "gland", objects=True),
    _Layout(
        "folder",
        "images and masks",
        "folders of these two names",
        _holds_folder,
        lambda folder: {"": read_folder(folder)},
    ),
)


def _layouts(folder: Path) -> list[_Layout]:
    return [layout for layout in _LAYOUTS if layout.holds(folder)]


def _nothing_found(folder: Path) -> str:
    """What to say: which folder beside this one was meant, or what is looked for."""
    here = folder.resolve()
    inside = sorted(path for path in here.iterdir() if path.is_dir() and not path.name.startswith("."))
    meant = [f"{path} holds {titles}" for path in (here.parent, *inside) if (titles := _titles(path))]
    if meant:
        return f"{folder} itself holds no data set, but {', '.join(first_few(meant))}: pass that folder"
    looked_for = "; ".join(f"{layout.title}: {layout.looked_for}" for layout in _LAYOUTS)
    return f"{folder} holds no data set that is known. Looked for {looked_for}"


def _titles(folder: Path) -> str:
    try:
        return " and ".join(layout.title for layout in _layouts(folder))
    except OSError:  # a neighbour that may not be opened is not the one that was meant
        return ""
