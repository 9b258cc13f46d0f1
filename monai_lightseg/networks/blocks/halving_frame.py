"""The U-shaped frame that U-Node and U-ResNet share: 1x1 convolutions change the width, averages the size.

Paper: H. Pinckaers, G. Litjens, "Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon
Glands", 2019, arXiv 1910.10470.
Origin: DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45; written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer
from torch import nn
from torch.nn import functional

__all__ = ["LightsegHalvingDecoder", "LightsegHalvingEncoder"]


class LightsegHalvingEncoder(nn.Module):
    """1x1 stem; per level the block (the skip), then 1x1 to the next width, activation and 2x2 averages.

    Args:
        in_channels: channels of the image.
        features: channels per level, shallow to deep, the last of the bottleneck.
        blocks: one per level, (B, C_i, H, W) -> the same.
        act: activation, as MONAI names it.
        dropout: probability, after every block.
        blocks_on_trunk: False feeds the next level with what goes into a block, so that only the skip passes it.
    """

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        blocks: Sequence[nn.Module],
        act: str | tuple[str, dict[str, Any]],
        dropout: float,
        blocks_on_trunk: bool = True,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, features[0], 1)
        self.blocks = nn.ModuleList(blocks)
        self.widen = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in pairwise(features))
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.blocks_on_trunk = blocks_on_trunk

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 1, 2, 4, ..."""
        x = self.act(self.stem(x))
        pyramid = []
        for block, widen in zip(self.blocks, self.widen, strict=False):
            pyramid.append(self.dropout(block(x)))
            trunk = pyramid[-1] if self.blocks_on_trunk else x
            # Bilinear interpolation by a half is the average of two by two pixels.
            x = functional.avg_pool2d(self.act(widen(trunk)), 2)
        return [*pyramid, self.dropout(self.blocks[-1](x))]


class LightsegHalvingDecoder(nn.Module):
    """Per level, deep to shallow: bilinear upsampling, the skip behind it, 1x1, activation, block; 1x1 head.

    Args:
        features: channels per level, shallow to deep.
        blocks: one per level but the deepest, deep to shallow, (B, C_i, H, W) -> the same.
        out_channels: channels of the logits.
        act: activation, as MONAI names it.
        dropout: probability, after every block.
    """

    def __init__(
        self,
        features: Sequence[int],
        blocks: Sequence[nn.Module],
        out_channels: int,
        act: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(deep + skip, skip, 1) for deep, skip in pairwise(reversed(features)))
        self.blocks = nn.ModuleList(blocks)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps, shallow to deep, each half the one before -> logits (B, out_channels, *size)."""
        *skips, x = pyramid
        for narrow, block, skip in zip(self.narrow, self.blocks, reversed(skips), strict=True):
            x = functional.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = self.dropout(block(self.act(narrow(torch.cat([x, skip], dim=1)))))
        return self.head(x)
