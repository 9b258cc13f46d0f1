"""The decoder frame that MALUNet and UltraLight VM-UNet share: levels that each add a bridged skip connection.

Paper: J. Ruan et al., "MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation", BIBM 2022, arXiv
2211.01784.
Origin: JCruan519/MALUNet@e184b47de99b; written anew.
"""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn

from monai_lightseg.networks.blocks.bilinear_doubling import double_bilinear
from monai_lightseg.networks.blocks.bridges import LightsegBridge

__all__ = ["LightsegAdditiveDecoder"]


class LightsegAdditiveDecoder(nn.Module):
    """Bridge over the skip connections; per level norm, upsampling, activation, plus one of them; 1x1 head, upsampled.

    Args:
        levels: one module per skip connection, deep to shallow.
        features: channels of the pyramid, shallow to deep; level i leaves features[-2 - i].
        out_channels: channels of the logits.
        bridge: whether the skip connections pass the attention bridge.
        split_att: "fc" or "conv", the form of the bridge's channel attention.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every level.
    """

    def __init__(
        self,
        levels: Sequence[nn.Module],
        features: Sequence[int],
        out_channels: int,
        bridge: bool,
        split_att: str,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.bridge = LightsegBridge(features[:-1], split_att) if bridge else None
        self.levels = nn.ModuleList(levels)
        self.norms = nn.ModuleList(get_norm_layer(norm, 2, width) for width in reversed(features[:-1]))
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps, shallow to deep -> logits (B, out_channels, *size), `size` twice that of the first map."""
        *skips, x = pyramid
        if self.bridge is not None:
            skips = self.bridge(skips)
        for level, norm, skip in zip(self.levels, self.norms, reversed(skips), strict=True):
            x = norm(level(x))
            # The deepest skip has the size of the deepest map already.
            if skip is not skips[-1]:
                x = double_bilinear(x, skip.shape[2:])
            x = self.dropout(self.act(x)) + skip
        return double_bilinear(self.head(x), size)
