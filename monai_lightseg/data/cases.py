"""One case: an image and its mask under one id."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from monai_lightseg.data.images import read_mask, read_rgb
from monai_lightseg.errors import LightsegError

__all__ = ["Case", "FileCase"]


class Case(Protocol):
    """What the rest of the package needs of a case, wherever its pixels come from."""

    @property
    def id(self) -> str:
        """Name of the case, one of its kind in a data set."""

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the image, uint8 (height, width, 3), and the mask, uint8 (height, width) of 0 and 1."""


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
        if image.shape[:2] != mask.shape:
            sizes = [f"{height} x {width}" for height, width in (image.shape[:2], mask.shape)]
            raise LightsegError(
                f"{self.image_path} is {sizes[0]} but its mask {self.mask_path} is {sizes[1]} (height x width); "
                "give both the same size"
            )
        return image, mask
