"""A 2D convolution with few output channels, as one matrix product and shifted sums."""

import torch
from torch.nn import functional

__all__ = ["few_channel_conv2d", "few_channel_conv2d_pays"]


def few_channel_conv2d_pays(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether the matrix product is the faster form: eager on a CPU, kernel above 1x1, few rows for many channels.

    CPU convolution kernels fill vectors of 8 or 16 output channels, so one with 3 leaves most lanes empty
    (`benchmarks/decoders.py`). Exported graphs keep the convolution, which their runtimes know best.
    """
    rows = weight.shape[0] * weight.shape[2] * weight.shape[3] if weight.ndim == 4 else 0
    return (
        weight.ndim == 4
        and weight.shape[2] > 1
        and rows <= weight.shape[1]
        and x.device.type == "cpu"
        and not torch.compiler.is_compiling()
    )


def few_channel_conv2d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Convolution with odd kernel, stride 1 and zero padding that keeps the size.

    Every kernel position is a 1x1 convolution, so all of them together are one product of (kernel positions x output
    channels) rows; its maps are then shifted and added, in float32 at least.

    Args:
        x: (B, C, H, W).
        weight: (O, C, k, k), k odd.
        bias: (O,).

    Returns:
        (B, O, H, W).
    """
    batch, channels, height, width = x.shape
    out, _, k, _ = weight.shape
    rows = weight.permute(2, 3, 0, 1).reshape(k * k * out, channels)
    maps = torch.matmul(rows, x.reshape(batch, channels, height * width)).reshape(batch, k * k * out, height, width)
    if maps.dtype in (torch.float16, torch.bfloat16):
        maps = maps.float()
    border = (k - 1) // 2
    maps = functional.pad(maps, (border, border, border, border))
    total = bias.to(maps.dtype).reshape(1, out, 1, 1)
    for i in range(k):
        for j in range(k):
            first = (i * k + j) * out
            total = total + maps[:, first : first + out, i : i + height, j : j + width]
    return total
