"""MALUNet: 178 thousand parameters through gated and external attention at the deep levels.

Paper: J. Ruan, S. Xiang, M. Xie, T. Liu, Y. Fu, "MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion
Segmentation", BIBM 2022, arXiv 2211.01784.
Origin: JCruan519/MALUNet@e184b47de99b; written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from monai_lightseg.networks.blocks.additive_decoder import LightsegAdditiveDecoder
from monai_lightseg.networks.blocks.fan_out_init import init_fan_out
from monai_lightseg.networks.blocks.pooled_encoder import LightsegPooledEncoder
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["MALUNet"]

# Levels 1 to 3 are convolutions, 4 to 6 attention; the decoder mirrors them.
CONVOLUTIONS = 3
GROUPS = 4
DILATIONS = (7, 5, 2, 1)
MEMORY_PER_CHANNEL = 4


class DepthwiseSeparable(nn.Sequential):
    """Depthwise convolution, group norm, 1x1 convolution. (B, in_channels, H, W) -> (B, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels),
            nn.GroupNorm(GROUPS, in_channels),
            nn.Conv2d(in_channels, out_channels, 1),
        )


class GatedAttentionUnit(nn.Module):
    """Its own content, gated, plus a 1x1 convolution of the input. (B, C, H, W) -> (B, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.gate = DepthwiseSeparable(in_channels, in_channels, 3)
        self.content = DepthwiseSeparable(in_channels, in_channels, 5)
        self.project = DepthwiseSeparable(in_channels, out_channels, 3)
        self.residual = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        gated = torch.sigmoid(self.gate(x)) * functional.gelu(self.content(x))
        return functional.gelu(self.project(gated)) + self.residual(x)


class MALUNetDGA(nn.Module):
    """Dilated gated attention: a quarter of the channels at each of four dilations, mixed, then a gated unit."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        quarter = in_channels // len(DILATIONS)
        self.dilated = nn.ModuleList(
            nn.Conv2d(quarter, quarter, 3, padding=dilation, dilation=dilation, groups=quarter)
            for dilation in DILATIONS
        )
        self.norm = nn.GroupNorm(GROUPS, in_channels)
        self.mix = nn.Conv2d(in_channels, in_channels, 1)
        self.unit = GatedAttentionUnit(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        quarters = zip(self.dilated, x.chunk(len(DILATIONS), dim=1), strict=True)
        x = torch.cat([conv(quarter) for conv, quarter in quarters], dim=1)
        return self.unit(functional.gelu(self.mix(self.norm(x))))


class MALUNetIEA(nn.Module):
    """Inverted external attention: pixels attend to a learned memory of four entries per channel; with residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels, 1)
        self.keys = nn.Conv1d(channels, MEMORY_PER_CHANNEL * channels, 1, bias=False)
        self.values = nn.Conv1d(MEMORY_PER_CHANNEL * channels, channels, 1, bias=False)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        attention = torch.softmax(self.keys(self.query(x).flatten(2)), dim=-1)
        # Over the pixels first, then over the memory.
        attention = attention / (1e-9 + attention.sum(dim=1, keepdim=True))
        attended = self.values(attention).unflatten(2, x.shape[2:])
        return functional.gelu(self.norm(self.project(attended)) + x)


@register_network(
    NetworkCard(
        name="malunet",
        title="MALUNet: A Multi-Attention and Light-weight UNet for Skin Lesion Segmentation",
        year=2022,
        paper="arXiv:2211.01784",
        origin="JCruan519/MALUNet@e184b47de99b",
        licence="none found",
        parameters=177_943,
        reference_parameters=(({}, 177_943),),
        macs_thop=82_972_800,
        macs=82_740_224,
        flops=165_480_448,
        size_multiple=32,
        description="U-shaped network of six levels: convolutions, then dilated gated and external attention.",
        quirks=(
            "The origin ends in a sigmoid; ours gives logits.",
            "The bridge changes the skip connections only; the encoder goes on from the maps in front of it.",
            "In the origin the two memories of an external attention share their storage until the network moves to "
            "another device, so one initial draw serves both, and a state dict loaded on the CPU fills both with the "
            "second. Ours are two memories from the start.",
        ),
        notes=("The 0.175 M parameters of the paper are the thop profiler's count, which leaves out group norms.",),
        parallelized="Its six dilated gated attention (DGA) modules, as in Table 4 of the UltraLight VM-UNet paper.",
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
    )
)
class MALUNet(UNetLike):
    """MALUNet. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the six levels, shallow to deep; all of the last four multiples of 4, those of the first
            five of the norm's groups.
        bridge: whether the skip connections pass the attention bridge.
        split_att: "fc" or "conv", the form of the bridge's channel attention.
        act: activation between levels, as MONAI names it.
        norm: norm between levels, as MONAI names it.
        dropout: probability, after every level.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, not six levels, deep widths that are no multiples of 4, an unknown
            `split_att`, or deep supervision asked for.
    """

    base_block = MALUNetDGA

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (8, 16, 24, 32, 48, 64),
        bridge: bool = True,
        split_att: str = "fc",
        act: str | tuple[str, dict[str, Any]] = "gelu",
        norm: str | tuple[str, dict[str, Any]] = ("group", {"num_groups": 4}),
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"malunet is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) != 2 * CONVOLUTIONS or any(width % GROUPS for width in features[CONVOLUTIONS - 1 :]):
            raise ValueError(f"features must name six levels, the last four multiples of 4, got {tuple(features)}")
        if deep_supervision:
            raise ValueError("malunet has no auxiliary outputs: deep_supervision must be False")
        down = [
            nn.Conv2d(*pair, 3, padding=1)
            if i < CONVOLUTIONS
            else nn.Sequential(MALUNetIEA(pair[0]), MALUNetDGA(*pair))
            for i, pair in enumerate(pairwise((in_channels, *features)))
        ]
        up = [
            nn.Sequential(MALUNetDGA(*pair), MALUNetIEA(pair[1]))
            if i < CONVOLUTIONS
            else nn.Conv2d(*pair, 3, padding=1)
            for i, pair in enumerate(pairwise(reversed(features)))
        ]
        super().__init__(
            encoder=LightsegPooledEncoder(down, features, act, norm, dropout),
            decoder=LightsegAdditiveDecoder(up, features, out_channels, bridge, split_att, act, norm, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=(2, 4, 8, 16, 32, 32),
        )
        init_fan_out(self)
