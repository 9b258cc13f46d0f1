"""One case: an image and its mask or labels under one id."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monai_lightseg.data.images import read_mask, read_rgb
from monai_lightseg.errors import LightsegError

__all__ = ["Case", "FileCase", "check_same_size"]


class Case(Protocol):
    """What the rest of the package needs of a case, wherever its pixels come from."""

    @property
    def id(self) -> str:
        """Name of the case, one of its kind in a data set."""

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | NDArray[np.int32]]:
        """Return the image, uint8 (height, width, 3), and what is marked in it, (height, width), background 0.

        That is a mask, uint8 of 0 and 1, or instance labels, int32, in which every object has a number of its own.
        """


@dataclass(frozen=True)
class FileCase:
    """A case in two files, which are read only by `read_pair`."""

    id: str
    image_path: Path
    mask_path: Path

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Read both files.

        Returns:
            The image, uint8 (height, width, 3), and the mask, uint8 (height, width) of 0 and 1.

        Raises:
            LightsegError: a file cannot be read (see `read_rgb` and `read_mask`), or their sizes differ.
        """
        image, mask = read_rgb(self.image_path), read_mask(self.mask_path)
        check_same_size(self.image_path, image, self.mask_path, mask)
        return image, mask


def check_same_size(image_path: Path, image: NDArray[Any], mask_path: Path, mask: NDArray[Any]) -> None:
    """Check that an image (height, width, 3) and its mask (height, width) have one size.

    Raises:
        LightsegError: they do not; the message names both files.
    """
    if image.shape[:2] != mask.shape:
        sizes = [f"{height} x {width}" for height, width in (image.shape[:2], mask.shape)]
        raise LightsegError(
            f"{image_path} is {sizes[0]} but its mask {mask_path} is {sizes[1]} (height x width); "
            "give both the same size"
        )
