"""Pictures for MONAI's `LoadImage`, read by the rules of this package."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ImageReader
from numpy.typing import NDArray

from monai_lightseg.data.images import PICTURE_SUFFIXES, picture_stem, read_mask, read_rgb
from monai_lightseg.data.pairs import list_files
from monai_lightseg.errors import LightsegError

__all__ = ["MaskReader", "PictureReader", "RGBReader", "images_in"]

Pixels = NDArray[np.integer[Any]]


class PictureReader(ImageReader):
    """One picture per call, rows first: (height, width), where MONAI's own reader of pictures has the width first.

    Attributes:
        read_pixels: from the path to the pixels, an array of two or three axes.
        channel_dim: axis of the channels; NaN where there is none, as MONAI has it.
    """

    read_pixels: Callable[[Path], Pixels]
    channel_dim: int | float

    def verify_suffix(self, filename: Sequence[PathLike[str] | str] | PathLike[str] | str) -> bool:
        """True: a file that is no picture is told by `get_data`, in words."""
        return True

    def read(self, data: Sequence[PathLike[str] | str] | PathLike[str] | str, **kwargs: Any) -> list[Path]:
        """The files, not read yet: after an error here `LoadImage` would try other readers, by other rules.

        Args:
            data: the file, or a sequence of files.
            kwargs: not used.
        """
        return [Path(data)] if isinstance(data, (str, PathLike)) else [Path(path) for path in data]

    def get_data(self, img: Sequence[Path]) -> tuple[Pixels, dict[str, Any]]:
        """The pixels, and what MONAI keeps of their layout.

        Raises:
            LightsegError: the file is no picture that can be read.
            ValueError: several files.
        """
        if len(img) != 1:
            raise ValueError(f"{type(self).__name__} reads one file at a time, got {len(img)}")
        pixels = type(self).read_pixels(img[0])
        layout = {"spatial_shape": np.asarray(pixels.shape[:2]), "original_channel_dim": self.channel_dim}
        return pixels, layout | {"affine": np.eye(4)}


class RGBReader(PictureReader):
    """Images as 8-bit RGB, (height, width, 3), by the rules of `read_rgb`."""

    read_pixels = staticmethod(read_rgb)
    channel_dim = -1


class MaskReader(PictureReader):
    """Masks of 0 and 1, (height, width), by the rules of `read_mask`."""

    read_pixels = staticmethod(read_mask)
    channel_dim = float("nan")


def images_in(folder: str, output_dir: str) -> list[dict[str, str]]:
    """The images of a folder as a MONAI data set takes them: one {"image": path} per file, sorted.

    Args:
        folder: folder of the images.
        output_dir: where a mask will be written under the name of each image.

    Raises:
        LightsegError: no such folder, no image in it, two images of one name, or masks that would replace the images.
    """
    if not Path(folder).is_dir():
        raise LightsegError(f"{folder} is no folder: give the folder of the images, --dataset_dir IMAGES")
    if Path(folder).resolve() == Path(output_dir).resolve():
        raise LightsegError(f"{folder} holds the images, which the masks would replace: give another --output_dir")
    files = list_files(Path(folder), PICTURE_SUFFIXES)
    if not files:
        raise LightsegError(f"{folder} holds no {', '.join(PICTURE_SUFFIXES)} file; put the images there")
    firsts: dict[str, Path] = {}
    for path in files:
        first = firsts.setdefault(picture_stem(path), path)
        if first is not path:
            raise LightsegError(f"{path} and {first.name} would have one mask, {picture_stem(path)}.png; rename one")
    return [{"image": str(path)} for path in files]
