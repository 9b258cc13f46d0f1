"""2x2 max-pooling that is quick on a CPU."""

import torch
from monai.networks.layers.factories import Pool
from torch import nn

__all__ = ["LightsegMaxPool"]


class LightsegMaxPool(nn.Module):
    """Max-pooling with kernel and stride 2. (B, C, *spatial) -> (B, C, *(spatial // 2)).

    In eval on a CPU it is the maximum of neighbours, one axis after the other: the same numbers, several times sooner
    than the pooling kernel, which also keeps track of places. Training and exported graphs use the kernel.
    """

    def __init__(self, spatial_dims: int) -> None:
        super().__init__()
        self.pool = Pool[Pool.MAX, spatial_dims](2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Pool `x`; a last odd row or column is dropped."""
        if self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return self.pool(x)
        for axis in range(2, x.ndim):
            pairs = x.narrow(axis, 0, x.shape[axis] // 2 * 2).unflatten(axis, (-1, 2))
            x = torch.maximum(pairs.select(axis + 1, 0), pairs.select(axis + 1, 1))
        return x
