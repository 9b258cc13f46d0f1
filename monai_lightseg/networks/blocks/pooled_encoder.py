"""The encoder frame that MALUNet, EGE-UNet and UltraLight VM-UNet share: levels, max-pooled.

Paper: J. Ruan et al., "MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation", BIBM 2022, arXiv
2211.01784.
Origin: JCruan519/MALUNet@e184b47de99b; written anew.
"""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn

from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool

__all__ = ["LightsegPooledEncoder"]


class LightsegPooledEncoder(nn.Module):
    """Norm, 2x2 max-pooling and activation after each level but the last, which only has the activation.

    Args:
        levels: one module per level, (B, C_i, H, W) -> (B, C_i+1, H, W).
        features: channels that the levels leave.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every level.
    """

    def __init__(
        self,
        levels: Sequence[nn.Module],
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(levels)
        self.norms = nn.ModuleList(get_norm_layer(norm, 2, width) for width in features[:-1])
        self.pool = LightsegMaxPool(2)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 2, 4, 8, ...; the last two at the same one."""
        pyramid = []
        for level, norm in zip(self.levels, self.norms, strict=False):
            x = self.dropout(self.act(self.pool(norm(level(x)))))
            pyramid.append(x)
        pyramid.append(self.dropout(self.act(self.levels[-1](x))))
        return pyramid
