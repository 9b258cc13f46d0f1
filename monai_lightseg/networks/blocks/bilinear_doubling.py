"""Bilinear upsampling by two with exact weights, exportable as ordinary arithmetic."""

import torch
from torch.nn import functional

__all__ = ["double_bilinear"]


def double_bilinear(x: torch.Tensor) -> torch.Tensor:
    """Bilinear interpolation with aligned corners, (B, C, H, W) -> (B, C, 2 H, 2 W).

    For a factor of two the weights are j / (2 n - 1), so no pixel coordinate has to be rounded: the result is within
    2e-7 of the largest value, where `torch.nn.functional.interpolate` is within 1e-5 for a hundred pixels and differs
    by as much from graph runtimes. float16 and bfloat16 are computed in float32.
    """
    doubled = x if x.dtype == torch.float64 else x.float()
    # The width first, while there is half as much of it. Padding starts from the last axis.
    for axis, ends in ((3, (1, 1)), (2, (0, 0, 1, 1))):
        n = doubled.shape[axis]
        share = torch.arange(n, dtype=doubled.dtype, device=x.device) / (2 * n - 1)
        share = share if axis == 3 else share.unsqueeze(-1)
        # Each value gives two: moved towards the one before it, and towards the one behind it.
        padded = functional.pad(doubled, ends)
        towards_before = torch.lerp(doubled, padded.narrow(axis, 0, n), share)
        towards_behind = torch.lerp(doubled, padded.narrow(axis, 2, n), share.flip(0))
        doubled = torch.stack([towards_before, towards_behind], dim=axis + 1).flatten(axis, axis + 1)
    return doubled.to(x.dtype)
