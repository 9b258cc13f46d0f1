"""A plain pair of folders, `images` and `masks`."""

from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.pairs import pair_files
from monai_lightseg.errors import LightsegError

__all__ = ["read_folder"]

_FILE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
_MASK_SUFFIXES = ("_segmentation", "_mask", "_lesion", "_anno")


def read_folder(folder: Path) -> list[FileCase]:
    """List the cases of a folder with `images` and `masks` in it; no pixel is read.

    Files ending in png, jpg, jpeg, bmp, tif or tiff (in any case) count, others and hidden ones are passed over. A
    mask has the stem of its image, or that stem and `_segmentation`, `_mask`, `_lesion` or `_anno`.

    Returns:
        The cases, sorted by id, which is the stem of the image.

    Raises:
        LightsegError: a folder is absent or holds no image, or images and masks do not pair up.
    """
    image_folder, mask_folder = folder / "images", folder / "masks"
    if not (image_folder.is_dir() and mask_folder.is_dir()):
        raise LightsegError(f"{folder} does not hold both images and masks; pass the folder that holds the two")
    cases = pair_files(_pictures(image_folder), _pictures(mask_folder), _MASK_SUFFIXES)
    if not cases:
        raise LightsegError(f"{image_folder} holds no {', '.join(sorted(_FILE_SUFFIXES))} file; put the images there")
    return cases


def _pictures(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _FILE_SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
