"""Prediction averaged over flips of the image."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["predict_with_flips"]

_FLIPS: tuple[tuple[int, ...], ...] = ((), (-2,), (-1,))


def predict_with_flips(predict: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Average the probabilities of an image, of itself upside down, and of itself mirrored.

    Args:
        predict: from images (B, C, H, W) to logits (B, K, H, W), such as a network in eval mode. Gradients are the
            caller's choice.
        image: (B, C, H, W).

    Returns:
        Mean of the three sigmoids, each flipped back, (B, K, H, W).
    """
    return torch.stack([predict(image.flip(axes)).sigmoid().flip(axes) for axes in _FLIPS]).mean(dim=0)
