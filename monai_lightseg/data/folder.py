"""A plain pair of folders, `images` and `masks`."""

from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.images import PICTURE_SUFFIXES
from monai_lightseg.data.pairs import list_files, pair_files
from monai_lightseg.errors import LightsegError

__all__ = ["read_folder"]

_MASK_SUFFIXES = ("_segmentation", "_mask", "_lesion", "_anno")


def read_folder(folder: Path) -> list[FileCase]:
    """List the cases of a folder with `images` and `masks` in it; no pixel is read.

    Files ending in one of `PICTURE_SUFFIXES`, in any case, count; others and hidden ones are passed over. A mask has
    the stem of its image, or that stem and `_segmentation`, `_mask`, `_lesion` or `_anno`; their formats may differ.

    Returns:
        The cases, sorted by id, which is the stem of the image.

    Raises:
        LightsegError: a folder is absent or holds no image, images and masks do not pair up, or what is named as an
            image is not a file.
    """
    image_folder, mask_folder = folder / "images", folder / "masks"
    if not (image_folder.is_dir() and mask_folder.is_dir()):
        raise LightsegError(f"{folder} does not hold both images and masks; pass the folder that holds the two")
    images, masks = (list_files(place, PICTURE_SUFFIXES) for place in (image_folder, mask_folder))
    cases = pair_files(images, masks, _MASK_SUFFIXES)
    if not cases:
        raise LightsegError(f"{image_folder} holds no {', '.join(PICTURE_SUFFIXES)} file; put the images there")
    return cases
