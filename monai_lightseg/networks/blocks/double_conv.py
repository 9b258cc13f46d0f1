"""Two 3x3 convolutions, each with norm and activation, and the max-pooled encoder made of them."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn

from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool

__all__ = ["LightsegDoubleConv", "LightsegDoubleConvEncoder"]


class LightsegDoubleConv(nn.Module):
    """(Convolution 3x3, norm, activation) twice, then dropout. (B, in_channels, *) -> (B, out_channels, *).

    With `padding` 0 in place of 1 each axis loses four pixels.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        act: str | tuple[str, dict[str, Any]] = "relu",
        norm: str | tuple[str, dict[str, Any]] = "batch",
        dropout: float = 0.0,
        padding: int = 1,
    ) -> None:
        super().__init__()
        conv = Conv[Conv.CONV, spatial_dims]
        self.conv1 = conv(in_channels, out_channels, 3, padding=padding)
        self.norm1 = get_norm_layer(norm, spatial_dims, out_channels)
        self.conv2 = conv(out_channels, out_channels, 3, padding=padding)
        self.norm2 = get_norm_layer(norm, spatial_dims, out_channels)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *spatial) -> (B, out_channels, *spatial), without what the padding leaves out."""
        x = self.act(self.norm1(self.conv1(x)))
        return self.dropout(self.act(self.norm2(self.conv2(x))))


class LightsegDoubleConvEncoder(nn.Module):
    """A double convolution per level, 2x2 max-pooling between levels.

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        features: channels of each level, shallow to deep; level i has stride 2**i.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, at the end of each level.
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]] = "relu",
        norm: str | tuple[str, dict[str, Any]] = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = (in_channels, *features)
        self.levels = nn.ModuleList(
            LightsegDoubleConv(spatial_dims, before, after, act, norm, dropout) for before, after in pairwise(widths)
        )
        self.pool = LightsegMaxPool(spatial_dims)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, *spatial) -> one map per level, shallow to deep."""
        pyramid = [self.levels[0](x)]
        for level in self.levels[1:]:
            pyramid.append(level(self.pool(pyramid[-1])))
        return pyramid
