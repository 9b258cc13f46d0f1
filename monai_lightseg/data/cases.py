"""One case: an image and its mask or labels under one id."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from monai_lightseg.data.images import read_mask, read_rgb
from monai_lightseg.errors import LightsegError

__all__ = ["Case", "FileCase", "Label", "SizesDifferError"]

# A mask, uint8 of 0 and 1, or instance labels, int32, in which every object has a number of its own; background 0.
Label = NDArray[np.uint8] | NDArray[np.int32]


class SizesDifferError(LightsegError):
    """An image and its mask differ in size."""


class Case(Protocol):
    """What the rest of the package needs of a case, wherever its pixels come from."""

    @property
    def id(self) -> str:
        """Name of the case, one of its kind in a data set."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files it is read from; none where it is drawn."""

    def read_image(self) -> NDArray[np.uint8]:
        """Return the image, uint8 (height, width, 3)."""

    def read_label(self) -> Label:
        """Return what is marked, (height, width): a mask, uint8 of 0 and 1, or instance labels, int32."""

    def read_pair(self) -> tuple[NDArray[np.uint8], Label]:
        """Return image and label, which have one height and width."""


@dataclass(frozen=True)
class FileCase:
    """A case in two files, which are read only by the `read_` methods."""

    id: str
    image_path: Path
    mask_path: Path

    @property
    def paths(self) -> tuple[Path, ...]:
        """Both files."""
        return self.image_path, self.mask_path

    def read_image(self) -> NDArray[np.uint8]:
        """Read the image, uint8 (height, width, 3), as `read_rgb` does."""
        return read_rgb(self.image_path)

    def read_label(self) -> Label:
        """Read the mask, uint8 (height, width) of 0 and 1, as `read_mask` does."""
        return read_mask(self.mask_path)

    def read_pair(self) -> tuple[NDArray[np.uint8], Label]:
        """Read both files.

        Raises:
            LightsegError: a file cannot be read.
            SizesDifferError: their sizes differ.
        """
        image, label = self.read_image(), self.read_label()
        _check_same_size(self.image_path, image, self.mask_path, label)
        return image, label


def _check_same_size(image_path: Path, image: NDArray[Any], mask_path: Path, mask: NDArray[Any]) -> None:
    if image.shape[:2] != mask.shape:
        sizes = [f"{height} x {width}" for height, width in (image.shape[:2], mask.shape)]
        raise SizesDifferError(
            f"{image_path} is {sizes[0]} but its mask {mask_path} is {sizes[1]} (height x width); "
            "give both the same size, or resize both to one"
        )
