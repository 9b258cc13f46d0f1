"""Instance labels from files: the number of a pixel says which object it belongs to."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_lightseg.data.images import decode
from monai_lightseg.errors import LightsegError

__all__ = ["read_labels"]

_LABEL_MODES = frozenset({"1", "L", "P", "I", "I;16", "I;16B"})
_LOSSY_FORMATS = frozenset({"JPEG", "MPO"})


def read_labels(path: Path) -> NDArray[np.int32]:
    """Read instance labels, turned upright by their EXIF orientation.

    The file has one channel of 8 or 16 bits. Where it has a palette, the index of a colour is the label and the colour
    does not count. Labels may leave out numbers.

    Returns:
        int32 array (height, width): 0 is background, every other number one object.

    Raises:
        LightsegError: the file is missing, damaged, has several pages, more than one channel or a lossy format, or
            holds only 0 and 255, which is a mask of all objects together.
    """
    image = decode(path)
    if image.format in _LOSSY_FORMATS:
        raise LightsegError(f"{path} is a {image.format}, which blurs labels; save them as PNG or BMP")
    if image.mode not in _LABEL_MODES:
        raise LightsegError(
            f"{path} has the colour mode {image.mode}; save labels with one channel, a number per object"
        )
    labels = np.asarray(image).astype(np.int32)
    if labels.min() < 0:
        raise LightsegError(f"{path} holds the value {labels.min()}; labels are 0 or more")
    if labels.max() == 255 and ((labels == 0) | (labels == 255)).all():
        raise LightsegError(f"{path} holds only 0 and 255, a mask; give every object a number of its own")
    return labels
