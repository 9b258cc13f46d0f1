"""The ISIC 2017 and ISIC 2018 Task 1 downloads, with the folder and file names they are published under."""

from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.pairs import list_files, pair_files
from monai_lightseg.errors import LightsegError

__all__ = ["holds_isic2017", "holds_isic2018", "read_isic2017", "read_isic2018"]

# Images and masks by part.
_Folders = dict[str, tuple[str, str]]
_ISIC2017: _Folders = {
    part: (f"ISIC-2017_{name}_Data", f"ISIC-2017_{name}_Part1_GroundTruth")
    for part, name in (("Training", "Training"), ("Validation", "Validation"), ("Test", "Test_v2"))
}
_ISIC2018: _Folders = {
    part: (f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth")
    for part in ("Training", "Validation", "Test")
}


def holds_isic2017(folder: Path) -> bool:
    """Whether a folder of ISIC 2017 lies in `folder`."""
    return bool(_present(folder, _ISIC2017))


def holds_isic2018(folder: Path) -> bool:
    """Whether a folder of ISIC 2018 Task 1 lies in `folder`."""
    return bool(_present(folder, _ISIC2018))


def read_isic2017(folder: Path) -> dict[str, list[FileCase]]:
    """List the cases of ISIC 2017, lesion segmentation; no pixel is read.

    Only `ISIC_*.jpg` and `ISIC_*_segmentation.png` count; licences, tables and superpixels are passed over.

    Args:
        folder: the folder that holds the unpacked archives, under their official names, of one or more parts.

    Returns:
        The cases of each part that is there, of "Training", "Validation" and "Test", sorted by id.

    Raises:
        LightsegError: no part is there, one has only its images or only its masks, images and masks do not pair up, or
            two parts hold one id.
    """
    return _read(folder, "ISIC 2017", _ISIC2017)


def read_isic2018(folder: Path) -> dict[str, list[FileCase]]:
    """List the cases of ISIC 2018 Task 1; no pixel is read.

    Only `ISIC_*.jpg` and `ISIC_*_segmentation.png` count; licences and superpixels are passed over.

    Args:
        folder: the folder that holds the unpacked archives, under their official names, of one or more parts.

    Returns:
        The cases of each part that is there, of "Training", "Validation" and "Test", sorted by id.

    Raises:
        LightsegError: no part is there, one has only its images or only its masks, images and masks do not pair up, or
            two parts hold one id.
    """
    return _read(folder, "ISIC 2018", _ISIC2018)


def _present(folder: Path, folders: _Folders) -> list[str]:
    return [part for part, names in folders.items() if any((folder / name).is_dir() for name in names)]


def _read(folder: Path, title: str, folders: _Folders) -> dict[str, list[FileCase]]:
    parts = _present(folder, folders)
    if not parts:
        images, masks = folders["Training"]
        raise LightsegError(f"{folder} holds no {images} and {masks}; pass the folder into which {title} was unpacked")
    absent = [
        f"{folder / name} is missing; unpack it there, or move the other half of the {part} part away"
        for part in parts
        for name in folders[part]
        if not (folder / name).is_dir()
    ]
    if absent:
        raise LightsegError("\n".join(absent))
    cases = {part: _pairs(*(folder / name for name in folders[part])) for part in parts}
    _check_parts_are_apart(cases)
    return cases


def _pairs(image_folder: Path, mask_folder: Path) -> list[FileCase]:
    images = [path for path in list_files(image_folder, [".jpg"]) if path.stem.startswith("ISIC_")]
    masks = [path for path in list_files(mask_folder, [".png"]) if path.stem.endswith("_segmentation")]
    for found, folder, name in (
        (images, image_folder, "ISIC_*.jpg"),
        (masks, mask_folder, "ISIC_*_segmentation.png"),
    ):
        if not found:
            raise LightsegError(f"{folder} holds no {name}; unpack the archive so that they lie right in there")
    return pair_files(images, masks, ["_segmentation"])


def _check_parts_are_apart(cases: dict[str, list[FileCase]]) -> None:
    first: dict[str, FileCase] = {}
    twice = [
        f"{case.image_path} is also in {first[case.id].image_path.parent}; keep one"
        for part in cases.values()
        for case in part
        if first.setdefault(case.id, case) is not case
    ]
    if twice:
        raise LightsegError("\n".join(first_few(twice)))
