"""What prepares images and labels of glands for a network, and turns its output into glands, as MONAI transforms."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, Transform
from monai.utils import MAX_SEED, convert_to_dst_type, convert_to_numpy
from numpy.typing import NDArray
from torch import Tensor

from monai_lightseg.data.gland_augmentation import GlandAugmentation
from monai_lightseg.data.gland_targets import gland_targets

__all__ = ["GlandInstancesd", "GlandTargetsd", "RandGlandAugmentationd"]

FindInstances = Callable[[NDArray[np.floating[Any]], NDArray[np.floating[Any]]], NDArray[np.int32]]


class RandGlandAugmentationd(Randomizable, Transform):
    """Draw a changed crop of an image and of its instance labels, see `GlandAugmentation`.

    The image is (3, H, W) with values from 0 to 255, which are rounded; the labels are (1, H, W).

    Args:
        size: (height, width) of the crop.
        scale: of the images, 1 for that of the paper.
        image_key: key of the image.
        label_key: key of the labels.
    """

    def __init__(
        self, size: tuple[int, int], scale: float = 1.0, image_key: str = "image", label_key: str = "label"
    ) -> None:
        self.augment = GlandAugmentation((size[0], size[1]), scale=scale)
        self.image_key = image_key
        self.label_key = label_key

    def randomize(self, data: Any = None) -> None:
        """Draw the generator of one call."""
        self._generator = np.random.default_rng(self.R.randint(MAX_SEED, dtype=np.uint32))

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Image (3, *size) and labels (1, *size), of the types of those given."""
        changed = dict(data)
        image, labels = changed[self.image_key], changed[self.label_key]
        self.randomize()
        pixels = np.rint(convert_to_numpy(image)).astype(np.uint8).transpose(1, 2, 0)
        pixels, moved = self.augment(pixels, convert_to_numpy(labels)[0].astype(np.int32), self._generator)
        changed[self.image_key] = convert_to_dst_type(pixels.transpose(2, 0, 1), image)[0]
        changed[self.label_key] = convert_to_dst_type(moved[None], labels)[0]
        return changed


class GlandTargetsd(MapTransform):
    """Turn instance labels (1, H, W) into the two targets (2, H, W): eroded glands, then glands; see `gland_targets`.

    Args:
        keys: keys of the labels.
        border: how many pixels the erosion takes from each gland.
    """

    def __init__(self, keys: KeysCollection, border: int) -> None:
        super().__init__(keys)
        self.border = border

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Replace the labels."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            labels = convert_to_numpy(changed[key])[0].astype(np.int32)
            changed[key] = convert_to_dst_type(gland_targets(labels, self.border), changed[key])[0]
        return changed


class GlandInstancesd(MapTransform):
    """Turn probabilities (2, H, W) of eroded glands and of glands into instance labels (1, H, W).

    Args:
        keys: keys of the probabilities.
        find: from the two maps (H, W) to labels (H, W); `probabilities_to_instances`, with its arguments chosen.
    """

    def __init__(self, keys: KeysCollection, find: FindInstances) -> None:
        super().__init__(keys)
        self.find = find

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        """Replace the probabilities."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            eroded, gland = convert_to_numpy(changed[key])
            changed[key] = convert_to_dst_type(self.find(eroded, gland)[None], changed[key])[0]
        return changed
