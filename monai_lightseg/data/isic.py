"""The ISIC 2018 Task 1 download, with the folder and file names it is published under."""

from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.pairs import pair_files
from monai_lightseg.errors import LightsegError

__all__ = ["isic2018_folders", "read_isic2018"]

_PARTS = ("Training", "Validation", "Test")


def isic2018_folders(folder: Path, part: str) -> tuple[Path, Path]:
    """Return where the images and the masks of one part of ISIC 2018 lie in `folder`, whether or not they exist."""
    return folder / f"ISIC2018_Task1-2_{part}_Input", folder / f"ISIC2018_Task1_{part}_GroundTruth"


def read_isic2018(folder: Path, part: str = "Training") -> list[FileCase]:
    """List the cases of one part of ISIC 2018 Task 1; no pixel is read.

    Only `ISIC_*.jpg` and `ISIC_*_segmentation.png` count; licences and superpixel masks are passed over.

    Args:
        folder: the folder that holds the two unpacked archives, under their official names.
        part: "Training", "Validation" or "Test".

    Returns:
        The cases, sorted by id (such as ISIC_0000000).

    Raises:
        LightsegError: the part is unknown, a folder is absent or holds no image, or images and masks do not pair up.
    """
    if part not in _PARTS:
        raise LightsegError(f"part {part!r} is unknown; pass one of {', '.join(_PARTS)}")
    image_folder, mask_folder = isic2018_folders(folder, part)
    if not (image_folder.is_dir() and mask_folder.is_dir()):
        raise LightsegError(
            f"{folder} does not hold both {image_folder.name} and {mask_folder.name}; "
            "pass the folder into which the two ISIC 2018 archives were unpacked"
        )
    cases = pair_files(image_folder.glob("ISIC_*.jpg"), mask_folder.glob("ISIC_*_segmentation.png"), ["_segmentation"])
    if not cases:
        raise LightsegError(f"{image_folder} holds no ISIC_*.jpg; unpack the archive again")
    return cases
