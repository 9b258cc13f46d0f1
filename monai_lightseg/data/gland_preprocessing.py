"""Sizes of GlaS images: reduced as in the paper on neural ODEs for colon glands, padded, and cropped back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monai_lightseg.data.cases import Case

__all__ = ["ReducedCase", "centre_crop", "reduce_image", "reduce_labels", "reflect_pad"]

_FACTOR = 512 / 775

Pixel = TypeVar("Pixel", bound=np.generic)


def reduce_image(
    image: NDArray[np.uint8], factor: float = _FACTOR, resampling: Image.Resampling = Image.Resampling.NEAREST
) -> NDArray[np.uint8]:
    """Resize an image, uint8 (height, width, 3), to its sides times `factor`, rounded.

    The default filter is the nearest pixel, as when the paper's code ran; with today's Pillow that code takes
    `Image.Resampling.BICUBIC`.

    Raises:
        ValueError: the factor is not above 0.
    """
    return np.array(Image.fromarray(image).resize(_reduced_size(image, factor), resampling))


def reduce_labels(labels: NDArray[np.integer[Any]], factor: float = _FACTOR) -> NDArray[np.int32]:
    """Resize instance labels (height, width) to their sides times `factor`, rounded, by the nearest pixel.

    Raises:
        ValueError: the factor is not above 0.
    """
    picture = Image.fromarray(labels.astype(np.int32))
    return np.array(picture.resize(_reduced_size(labels, factor), Image.Resampling.NEAREST))


def reflect_pad(array: NDArray[Pixel], size: tuple[int, int]) -> NDArray[Pixel]:
    """Pad an array (height, width, ...) to `size` by reflecting it, the odd pixel below and on the right.

    A side that is as long as wanted or longer stays. `centre_crop` takes the padding off again.

    Args:
        array: image or labels, of any size.
        size: (height, width) wanted; the paper predicts at 352 x 512.
    """
    missing = [max(wanted - side, 0) for wanted, side in zip(size, array.shape, strict=False)]
    widths = [(pixels // 2, pixels - pixels // 2) for pixels in missing]
    return np.pad(array, widths + [(0, 0)] * (array.ndim - 2), mode="reflect")


def centre_crop(array: NDArray[Pixel], size: tuple[int, int]) -> NDArray[Pixel]:
    """Cut the middle of (height, width) `size` out of an array (height, width, ...).

    Raises:
        ValueError: the array is smaller.
    """
    height, width = array.shape[:2]
    if size[0] > height or size[1] > width:
        raise ValueError(f"size is {size}, more than the {height} x {width} pixels there are")
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return array[top : top + size[0], left : left + size[1]]


@dataclass(frozen=True)
class ReducedCase:
    """A case with its image and labels reduced when they are read."""

    case: Case

    @property
    def id(self) -> str:
        """Name of the case."""
        return self.case.id

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files of the case."""
        return self.case.paths

    def read_image(self) -> NDArray[np.uint8]:
        """Read the image, uint8 (height, width, 3), and reduce it by `reduce_image`."""
        return reduce_image(self.case.read_image())

    def read_label(self) -> NDArray[np.int32]:
        """Read the mask or labels and reduce them, int32 (height, width), by `reduce_labels`."""
        return reduce_labels(self.case.read_label())

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Read the case and reduce both.

        Raises:
            LightsegError: the case cannot be read.
        """
        image, label = self.case.read_pair()
        return reduce_image(image), reduce_labels(label)


def _reduced_size(array: NDArray[Any], factor: float) -> tuple[int, int]:
    """Return (width, height), as Pillow has it."""
    if not factor > 0:
        raise ValueError(f"factor is {factor}; pass a number above 0")
    height, width = (max(1, round(side * factor)) for side in array.shape[:2])
    return width, height
