"""Bilinear upsampling by two with exact weights, exportable as ordinary arithmetic."""

from collections.abc import Sequence

import torch
from torch.nn import functional

__all__ = ["double_bilinear"]


def double_bilinear(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bilinear interpolation with aligned corners, (B, C, H, W) -> (B, C, 2 H, 2 W).

    For a factor of two the weights are j / (2 n - 1), so no pixel coordinate has to be rounded: the result is within
    2e-7 of the largest value, where `torch.nn.functional.interpolate` is within 1e-5 for a hundred pixels and differs
    by as much from graph runtimes. float16 and bfloat16 are computed in float32.

    Args:
        x: the map.
        size: 2 H and 2 W, in the terms of the map it will meet: an export with open sides would lose itself in proving
            that the doubled ones are equal.
    """
    doubled = x if x.dtype == torch.float64 else x.float()
    # The width first, while there is half as much of it.
    for axis in (3, 2):
        new = size[axis - 2]
        doubled = _double_axis(doubled, axis) if isinstance(new, int) else _gather_axis(doubled, axis, new)
    return doubled.to(x.dtype)


def _double_axis(x: torch.Tensor, axis: int) -> torch.Tensor:
    """Each value gives two: moved towards the one before it, and towards the one behind it."""
    n = x.shape[axis]
    share = _along(torch.arange(n, dtype=x.dtype, device=x.device) / (2 * n - 1), axis)
    padded = functional.pad(x, (1, 1) if axis == 3 else (0, 0, 1, 1))
    towards_before = torch.lerp(x, padded.narrow(axis, 0, n), share)
    towards_behind = torch.lerp(x, padded.narrow(axis, 2, n), share.flip(0))
    return torch.stack([towards_before, towards_behind], dim=axis + 1).flatten(axis, axis + 1)


def _gather_axis(x: torch.Tensor, axis: int, new: int) -> torch.Tensor:
    """The same for an open side, with a result whose side is `new` by construction."""
    n = x.shape[axis]
    places = torch.arange(new, device=x.device) * (n - 1)
    before = places // (new - 1)
    share = _along((places - before * (new - 1)).to(x.dtype) / (new - 1), axis)
    behind = (before + 1).clamp(max=n - 1)
    return torch.lerp(x.index_select(axis, before), x.index_select(axis, behind), share)


def _along(values: torch.Tensor, axis: int) -> torch.Tensor:
    return values if axis == 3 else values.unsqueeze(-1)
