"""Attention bridges over the skip connections: spatial (SAB), channel (CAB) and both in a row.

Paper: J. Ruan et al., "MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation", BIBM 2022, arXiv
2211.01784; in the form of UltraLight VM-UNet, arXiv 2403.20035.
Origin: wurenkai/UltraLight-VM-UNet@d7648e4ece53 (MIT); written anew.
"""

from collections.abc import Sequence

import torch
from monai.utils import look_up_option
from torch import nn

__all__ = ["LightsegBridge", "LightsegChannelBridge", "LightsegSpatialBridge"]


class LightsegSpatialBridge(nn.Module):
    """One weight per pixel of each map, from the mean and maximum over its channels; one convolution for all maps.

    List of (B, C_i, H_i, W_i) -> list of weights (B, 1, H_i, W_i) between 0 and 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=9, dilation=3)

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Maps -> weights of their pixels."""
        # Not amax: compiled by inductor under bfloat16 autocast, its gradient is NaN.
        summaries = [torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], dim=1) for x in maps]
        return [torch.sigmoid(self.conv(summary)) for summary in summaries]


class LightsegChannelBridge(nn.Module):
    """One weight per channel of each map, from the means of the channels of all maps.

    List of (B, C_i, H_i, W_i) -> list of weights (B, C_i, 1, 1) between 0 and 1.

    Args:
        channels: channels C_i of each map.
        split_att: "fc" (a linear layer per map) or "conv" (a 1x1 convolution per map: the same function).

    Raises:
        ValueError: unknown `split_att`.
    """

    def __init__(self, channels: Sequence[int], split_att: str = "fc") -> None:
        super().__init__()
        self.split_att = look_up_option(split_att, ("fc", "conv"))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        total = sum(channels)
        self.attentions = nn.ModuleList(
            nn.Linear(total, width) if split_att == "fc" else nn.Conv1d(total, width, 1) for width in channels
        )

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Maps -> weights of their channels."""
        means = torch.cat([self.pool(x).flatten(1) for x in maps], dim=1)
        means = self.mix(means.unsqueeze(1)).squeeze(1)
        if self.split_att == "conv":
            means = means.unsqueeze(-1)
        weights = [torch.sigmoid(attention(means)) for attention in self.attentions]
        return [weight.reshape(-1, x.shape[1], 1, 1) for weight, x in zip(weights, maps, strict=True)]


class LightsegBridge(nn.Module):
    """Spatial, then channel attention on the maps of all skip connections, each with its residual.

    List of (B, C_i, H_i, W_i), shallow to deep -> list of the same shapes.

    Args:
        channels: channels C_i of each map.
        split_att: see LightsegChannelBridge.
    """

    def __init__(self, channels: Sequence[int], split_att: str = "fc") -> None:
        super().__init__()
        self.spatial = LightsegSpatialBridge()
        self.channel = LightsegChannelBridge(channels, split_att)

    def forward(self, maps: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Maps -> maps."""
        weighted = [weight * x for weight, x in zip(self.spatial(maps), maps, strict=True)]
        maps = [s + x for s, x in zip(weighted, maps, strict=True)]
        # The residual of the second part is what the first one weighted, without its own residual.
        return [weight * x + s for weight, x, s in zip(self.channel(maps), maps, weighted, strict=True)]
