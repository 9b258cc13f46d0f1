"""The augmentation of the paper on neural ODEs for colon glands."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy.ndimage import gaussian_filter, map_coordinates

__all__ = ["GlandAugmentation"]

_LEAST_PADDING = 128
_LARGEST_ANGLE = 45
_GRID = 4  # the elastic shifts are drawn on a grid of every fourth pixel
_ELASTIC_STRENGTH = 2000 / _GRID
_ELASTIC_WIDTH = 60 / _GRID
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.3, 0.2, 0.1, 0.1

Pixel = TypeVar("Pixel", bound=np.generic)


class GlandAugmentation:
    """Draw a changed crop of an image and of its instance labels.

    Pad by reflection (by 128 pixels on every side, more where `size` asks for it), flip either way, turn by up to 45
    degrees, deform elastically, change brightness, contrast, saturation and hue in any order, and cut out a place at
    random. Labels stay labels: they are moved by the nearest pixel.

    Args:
        size: (height, width) of the crop.
        scale: of the images, 1 for that of the paper: padding and elastic shifts are so much smaller.
        seed: seed of the draws of calls that bring no generator.
    """

    def __init__(self, size: tuple[int, int] = (352, 512), *, scale: float = 1.0, seed: int = 42) -> None:
        self.size = size
        self.scale = scale
        self._generator = np.random.default_rng(seed)

    def __call__(
        self,
        image: NDArray[np.uint8],
        labels: NDArray[np.integer[Any]],
        generator: np.random.Generator | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Change an image and its labels alike; the two given stay as they are.

        Args:
            image: uint8 (height, width, 3).
            labels: instance labels (height, width), background 0.
            generator: where to draw from; None draws on from the object's own. Workers of a data loader each copy the
                object and draw the same, so give each call a generator there.

        Returns:
            The image, uint8 (*size, 3), and the labels, int32 (*size).

        Raises:
            ValueError: image and labels differ in size.
        """
        if image.shape[:2] != labels.shape:
            raise ValueError(f"image {image.shape} and labels {labels.shape} differ in height or width")
        draw = self._generator if generator is None else generator
        least = round(_LEAST_PADDING * self.scale)
        image, moved = _padded(image, self.size, least), _padded(labels.astype(np.int32), self.size, least)
        for axis in (1, 0):
            if draw.random() < 0.5:
                image, moved = np.flip(image, axis), np.flip(moved, axis)
        angle = draw.uniform(-_LARGEST_ANGLE, _LARGEST_ANGLE)
        image, moved = _turned(image, angle), _turned(moved, angle)
        image, moved = _deformed(image, moved, draw, self.scale)
        image = _recoloured(image, draw)
        top, left = (int(draw.integers(side - wanted + 1)) for side, wanted in zip(moved.shape, self.size, strict=True))
        crop = slice(top, top + self.size[0]), slice(left, left + self.size[1])
        return image[crop].copy(), moved[crop].copy()


def _padded(array: NDArray[Pixel], size: tuple[int, int], least: int) -> NDArray[Pixel]:
    widths = [(max(wanted - side, least),) * 2 for wanted, side in zip(size, array.shape, strict=False)]
    return np.pad(array, widths + [(0, 0)] * (array.ndim - 2), mode="reflect")


def _turned(array: NDArray[Pixel], angle: float) -> NDArray[Pixel]:
    """Turn (height, width, ...) by an angle in degrees, filling the corners by reflection."""
    height, width = array.shape[:2]
    # At 45 degrees the corners lie outside by less than half the longer side.
    reach = max(height, width) // 2 + 1
    padded = np.pad(array, [(reach, reach)] * 2 + [(0, 0)] * (array.ndim - 2), mode="reflect")
    turned = np.asarray(Image.fromarray(padded).rotate(angle, Image.Resampling.NEAREST))
    return turned[reach : reach + height, reach : reach + width]


def _deformed(
    image: NDArray[np.uint8], labels: NDArray[np.int32], draw: np.random.Generator, scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Move every pixel by a smooth random shift of about 5 pixels times `scale`."""
    height, width = labels.shape

    def shift() -> NDArray[np.float32]:
        noise = draw.uniform(-1, 1, (height // _GRID, width // _GRID)).astype(np.float32)
        # Smoothing over half the width leaves twice the noise, and the shift is to be half.
        smooth = (
            gaussian_filter(noise, _ELASTIC_WIDTH * scale, mode="mirror", truncate=2) * _ELASTIC_STRENGTH * scale**2
        )
        return np.asarray(Image.fromarray(smooth).resize((width, height), Image.Resampling.BILINEAR))

    places = np.arange(height)[:, None] + shift(), np.arange(width) + shift()
    channels = [map_coordinates(image[..., index], places, order=1, mode="reflect") for index in range(3)]
    return np.stack(channels, axis=-1), map_coordinates(labels, places, order=0, mode="reflect")


def _recoloured(image: NDArray[np.uint8], draw: np.random.Generator) -> NDArray[np.uint8]:
    """Change brightness, contrast, saturation and hue by random amounts in a random order."""
    changes: list[Callable[[Image.Image], Image.Image]] = [
        lambda picture: ImageEnhance.Brightness(picture).enhance(draw.uniform(1 - _BRIGHTNESS, 1 + _BRIGHTNESS)),
        lambda picture: ImageEnhance.Contrast(picture).enhance(draw.uniform(1 - _CONTRAST, 1 + _CONTRAST)),
        lambda picture: ImageEnhance.Color(picture).enhance(draw.uniform(1 - _SATURATION, 1 + _SATURATION)),
        lambda picture: _with_hue_turned(picture, draw.uniform(-_HUE, _HUE)),
    ]
    picture = Image.fromarray(image)
    for index in draw.permutation(len(changes)):
        picture = changes[index](picture)
    return np.asarray(picture)


def _with_hue_turned(picture: Image.Image, share: float) -> Image.Image:
    """Turn the hue by a share of the circle."""
    hue, saturation, value = picture.convert("HSV").split()
    turned = hue.point(lambda angle: (angle + round(share * 255)) % 256)
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")
