"""Pictures of what was predicted: outlines on the image, and charts."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["OVERLAY_LEGEND", "figure_pixels", "overlay"]

TRUTH_COLOR = (0, 200, 83)
PREDICTION_COLOR = (213, 0, 249)
BOTH_COLOR = (255, 255, 255)
OVERLAY_LEGEND = "Green: truth. Magenta: prediction. White: both."


def overlay(image: NDArray[np.uint8], truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image, uint8 (height, width, 3), with the outlines of two masks (height, width) of 0 and 1."""
    pixels = image.copy()
    true_line, predicted_line = _outline(truth), _outline(prediction)
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


def _outline(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Boundary pixels of a mask, two pixels wide."""
    inside = mask.astype(bool)
    return inside & ~ndimage.binary_erosion(inside, iterations=2)
