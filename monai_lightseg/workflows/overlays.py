"""Pictures of what was predicted: outlines on the image, and charts."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OVERLAY_LEGEND", "figure_pixels", "overlay"]

TRUTH_COLOR = (0, 200, 83)
PREDICTION_COLOR = (213, 0, 249)
BOTH_COLOR = (255, 255, 255)
LONGEST_SIDE = 640
OVERLAY_LEGEND = "Green: truth. Magenta: prediction. White: both."


def overlay(image: NDArray[np.uint8], truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image, uint8 (height, width, 3), with the outlines of two masks (height, width) of 0 and 1.

    Where a side is longer than 640 pixels all three are made smaller first, so that reports stay small and outlines
    visible.
    """
    pixels = np.array(_at_most(image, Image.Resampling.BILINEAR))
    true_line, predicted_line = (_outline(_at_most(mask, Image.Resampling.NEAREST)) for mask in (truth, prediction))
    pixels[true_line] = TRUTH_COLOR
    pixels[predicted_line] = PREDICTION_COLOR
    pixels[true_line & predicted_line] = BOTH_COLOR
    return pixels


def figure_pixels(figure: "Figure") -> NDArray[np.uint8]:
    """A matplotlib figure drawn, uint8 (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def _at_most(pixels: NDArray[np.uint8], resampling: Image.Resampling) -> NDArray[np.uint8]:
    factor = LONGEST_SIDE / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), resampling))


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Boundary pixels of a mask, two pixels wide."""
    inside = mask.astype(bool)
    return inside & ~ndimage.binary_erosion(inside, iterations=2)
