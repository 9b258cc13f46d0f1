"""Drawn images that resemble dermoscopy, with the mask of the one lesion in each."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from monai_lightseg.data.cases import Case
from monai_lightseg.errors import LightsegError

__all__ = ["SyntheticCase", "synthetic_cases"]

_SMALLEST_SIDE = 32
_REFERENCE_SIDE = 192  # line widths are given in pixels of an image this high
_LIGHT_SKIN = np.array([232, 190, 168], np.float32)
_DARK_SKIN = np.array([168, 118, 92], np.float32)


@dataclass(frozen=True)
class SyntheticCase:
    """One drawn case: the same index, size and seed always give the same pixels.

    Raises:
        LightsegError: index or seed is negative, or a side of `size` (height, width) is below 32 pixels.
    """

    index: int
    size: tuple[int, int] = (192, 256)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.index < 0 or self.seed < 0:
            raise LightsegError(f"index is {self.index} and seed is {self.seed}; pass 0 or more")
        if min(self.size) < _SMALLEST_SIDE:
            raise LightsegError(f"size is {self.size}; pass a height and a width of at least {_SMALLEST_SIDE}")

    @property
    def id(self) -> str:
        """Name of the case by its index, such as synthetic_0007."""
        return f"synthetic_{self.index:04d}"

    @property
    def paths(self) -> tuple[Path, ...]:
        """None: it is drawn."""
        return ()

    def read_image(self) -> NDArray[np.uint8]:
        """Draw the image, uint8 (height, width, 3)."""
        return self.read_pair()[0]

    def read_label(self) -> NDArray[np.uint8]:
        """Draw the mask, uint8 (height, width) of 0 and 1."""
        return self.read_pair()[1]

    def read_pair(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Draw the case.

        Returns:
            The image, uint8 (height, width, 3), and the mask, uint8 (height, width) of 0 and 1, with 5 to 50 per cent
            of the pixels in the lesion.
        """
        rng = np.random.default_rng([self.seed, self.index])
        skin = _skin(rng, self.size)
        lesion = _lesion_depth(rng, self.size)
        pixels = _pigmented(rng, skin, lesion) * _illumination(rng, self.size)[..., None]
        for draw, chance in ((_hairs, 0.4), (_bubbles, 0.25), (_ruler, 0.25)):
            if rng.random() < chance:
                pixels = draw(rng, pixels)
        pixels += rng.normal(0, rng.uniform(1.5, 4), (*self.size, 1)).astype(np.float32)
        return np.clip(pixels, 0, 255).astype(np.uint8), (lesion > 0).astype(np.uint8)


def synthetic_cases(count: int, *, size: tuple[int, int] = (192, 256), seed: int = 0) -> list[Case]:
    """Return the cases 0 to `count` - 1 of one seed; nothing is drawn before it is read.

    Args:
        count: how many, 1 or more.
        size: (height, width) in pixels, each at least 32.
        seed: 0 or more; another seed gives other images under the same ids.

    Raises:
        LightsegError: an argument is out of range.
    """
    if count < 1:
        raise LightsegError(f"count is {count}; pass 1 or more")
    return [SyntheticCase(index, size, seed) for index in range(count)]


def _grid(size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return y as (height, 1) and x as (1, width), both from -1 to 1."""
    height, width = size
    return np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None, :]


def _noise(rng: np.random.Generator, size: tuple[int, int], cells: int) -> NDArray[np.float32]:
    """Return smooth noise (height, width), about -1 to 1, with about `cells` bumps along each side."""
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _skin(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    tone = _LIGHT_SKIN + rng.uniform(0, 1) * (_DARK_SKIN - _LIGHT_SKIN) + rng.normal(0, 5, 3)
    blotches = _noise(rng, size, 6) * rng.uniform(3, 10) + _noise(rng, size, 40) * rng.uniform(2, 7)
    redness = np.array([0.7, 1.0, 1.0])
    return (tone + blotches[..., None] * redness).astype(np.float32)


def _illumination(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return the brightness (height, width): a slope across the image and dark corners."""
    y, x = _grid(size)
    angle, slope, vignette = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.15), rng.uniform(0, 0.3)
    light = 1 + slope * (np.cos(angle) * x + np.sin(angle) * y) - vignette * ((x * x + y * y) / 2) ** 2
    return light.astype(np.float32)


def _lesion_depth(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Return how deep each pixel (height, width) lies in the lesion: 1 at its centre, 0 on the edge, less outside."""
    y, x = _grid(size)
    y, x = y - np.float32(rng.uniform(-0.25, 0.25)), x - np.float32(rng.uniform(-0.25, 0.25))
    turn, aspect = rng.uniform(0, np.pi), rng.uniform(0.75, 1.3)
    along = (x * np.cos(turn) + y * np.sin(turn)) * np.float32(aspect)
    across = (y * np.cos(turn) - x * np.sin(turn)) / np.float32(aspect)
    angles = np.linspace(-np.pi, np.pi, 361)
    outline = np.ones_like(angles)
    for term in range(2, 8):
        outline += rng.normal(0, 0.13 / term) * np.cos(term * angles + rng.uniform(0, 2 * np.pi))
    share = rng.uniform(0.08, 0.4)
    # The image is 2 by 2 on this grid, so a circle of radius r covers pi r^2 / 4 of it.
    radius = np.sqrt(4 * share / np.pi / np.mean(outline**2))
    edge = np.interp(np.arctan2(across, along), angles, radius * outline)
    return (1 - np.hypot(along, across) / edge).astype(np.float32)


def _pigmented(rng: np.random.Generator, skin: NDArray[np.float32], depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Darken the skin (height, width, 3) towards two mixed browns where the lesion is, with a soft edge."""
    size = depth.shape[0], depth.shape[1]
    strength = rng.uniform(0.25, 0.65)
    brown = 1 - strength * np.array([0.7, 1.0, 1.1]) * rng.uniform(0.9, 1.1, 3)
    dark_brown = brown * rng.uniform(0.45, 0.9)
    blend = np.clip(0.5 + _noise(rng, size, 5) + 0.35 * _noise(rng, size, 24), 0, 1)[..., None]
    tint = brown + blend * (dark_brown - brown)
    softness = rng.uniform(0.06, 0.25)
    cover = np.clip(0.5 + (depth + 0.06 * _noise(rng, size, 16)) / softness, 0, 1)[..., None]
    return (skin * (1 + cover * (tint - 1))).astype(np.float32)


def _line_width(pixels: NDArray[np.float32], width: float) -> int:
    return max(1, round(width * min(pixels.shape[:2]) / _REFERENCE_SIDE))


def _painted(pixels: NDArray[np.float32], layer: Image.Image, colour: NDArray[np.float64]) -> NDArray[np.float32]:
    """Lay one colour over the pixels (height, width, 3) where the layer is white, softened a little."""
    softened = np.asarray(layer.filter(ImageFilter.GaussianBlur(0.6)), dtype=np.float32)[..., None]
    return (pixels + softened / 255 * (colour - pixels)).astype(np.float32)


def _hairs(rng: np.random.Generator, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    steps = np.linspace(0, 1, 24)[:, None]
    for _ in range(rng.integers(3, 16)):
        start, bend, end = rng.uniform(-0.2, 1.2, (3, 2)) * (width, height)
        bend = (start + end) / 2 + 0.3 * (bend - (start + end) / 2)
        curve = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * bend + steps**2 * end
        pen.line([(x, y) for x, y in curve.tolist()], fill=220, width=_line_width(pixels, rng.uniform(0.6, 2)))
    return _painted(pixels, layer, np.array([45, 32, 26]) * rng.uniform(0.6, 1.6))


def _bubbles(rng: np.random.Generator, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    for _ in range(rng.integers(2, 10)):
        x, y, radius = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.01, 0.05) * min(height, width)
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, fill=25, outline=130, width=_line_width(pixels, 1))
    return _painted(pixels, layer, np.array([250.0, 248.0, 245.0]))


def _ruler(rng: np.random.Generator, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    layer = Image.new("L", (width, height))
    pen = ImageDraw.Draw(layer)
    gap, length = rng.uniform(0.04, 0.08) * height, rng.uniform(0.03, 0.06) * height
    flipped = rng.random() < 0.5
    for count, x in enumerate(np.arange(gap / 2, width, gap).tolist()):
        reach = length * (2 if count % 5 == 0 else 1)
        ends = [(x, height - reach), (x, height)] if flipped else [(x, 0), (x, reach)]
        pen.line(ends, fill=210, width=_line_width(pixels, 1))
    return _painted(pixels, layer, np.array([40.0, 38.0, 42.0]))
