"""EGE-UNet: 53 thousand parameters through grouped Hadamard attention and masks that guide the skip connections.

Paper: J. Ruan, M. Xie, J. Gao, T. Liu, Y. Fu, "EGE-UNet: an Efficient Group Enhanced UNet for skin lesion
segmentation", MICCAI 2023, arXiv 2307.08473.
Origin: JCruan519/EGE-UNet@f52ba30c6bf7; written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn
from torch.nn import functional

from monai_lightseg.networks.blocks.bilinear_doubling import double_bilinear
from monai_lightseg.networks.blocks.fan_out_init import init_fan_out
from monai_lightseg.networks.blocks.pooled_encoder import LightsegPooledEncoder
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["EGEUNet"]

# Levels 1 to 3 are convolutions, 4 to 6 attention; the decoder mirrors them.
CONVOLUTIONS = 3
GROUPS = 4
# Side of the learned planes and lines, whatever the size of the map they are stretched to.
LEARNED_SIDE = 8
DILATIONS = (1, 2, 5, 7)


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel. (B, channels, H, W) -> (B, channels, H, W)."""

    # No nn.LayerNorm, as the origin's is none: the papers' count would see it.

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        normed = functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, eps=1e-6)
        return normed.permute(0, 3, 1, 2)


class EGEUNetGHPA(nn.Module):
    """Group multi-axis Hadamard product attention. (B, in_channels, H, W) -> (B, out_channels, H, W).

    A quarter of the channels is weighted by a learned plane, a quarter by a line along the height, a quarter by one
    along the width, each stretched to the map and convolved; the last quarter passes a depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        quarter = in_channels // GROUPS
        self.plane = nn.Parameter(torch.ones(1, quarter, LEARNED_SIDE, LEARNED_SIDE))
        self.height = nn.Parameter(torch.ones(1, 1, quarter, LEARNED_SIDE))
        self.width = nn.Parameter(torch.ones(1, 1, quarter, LEARNED_SIDE))
        self.plane_conv = _depthwise_then_pointwise(nn.Conv2d, quarter, quarter)
        self.height_conv = _depthwise_then_pointwise(nn.Conv1d, quarter, quarter)
        self.width_conv = _depthwise_then_pointwise(nn.Conv1d, quarter, quarter)
        self.local = nn.Sequential(
            nn.Conv2d(quarter, quarter, 1), nn.GELU(), nn.Conv2d(quarter, quarter, 3, padding=1, groups=quarter)
        )
        self.norm1 = ChannelNorm(in_channels)
        self.norm2 = ChannelNorm(in_channels)
        self.project = _depthwise_then_pointwise(nn.Conv2d, in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        height, width = x.shape[2:]
        first, second, third, fourth = self.norm1(x).chunk(GROUPS, dim=1)
        plane = functional.interpolate(self.plane, size=(height, width), mode="bilinear", align_corners=True)
        column, row = self._stretched_line(self.height, height), self._stretched_line(self.width, width)
        groups = [
            first * self.plane_conv(plane),
            second * self.height_conv(column).unsqueeze(3),
            third * self.width_conv(row).unsqueeze(2),
            self.local(fourth),
        ]
        return self.project(self.norm2(torch.cat(groups, dim=1)))

    def _stretched_line(self, line: torch.Tensor, length: int) -> torch.Tensor:
        """(1, 1, channels, LEARNED_SIDE) -> (1, channels, length)."""
        # In two dimensions, as the export of the linear form fails where the length is 1.
        size = (line.shape[2], length)
        return functional.interpolate(line, size=size, mode="bilinear", align_corners=True).squeeze(0)


def _depthwise_then_pointwise(
    conv: type[nn.Conv1d] | type[nn.Conv2d], in_channels: int, out_channels: int
) -> nn.Sequential:
    return nn.Sequential(
        conv(in_channels, in_channels, 3, padding=1, groups=in_channels),
        nn.GELU(),
        conv(in_channels, out_channels, 1),
    )


class EGEUNetGAB(nn.Module):
    """Group aggregation bridge: a skip connection, the bridge below it and the mask of its level.

    Args:
        high_channels: channels of the map from below.
        low_channels: channels of the skip connection and of the result.
        mask_channels: channels of the mask.
        doubles: whether the map from below has half the size of the skip connection, or the same.
    """

    def __init__(self, high_channels: int, low_channels: int, mask_channels: int, doubles: bool) -> None:
        super().__init__()
        self.doubles = doubles
        self.project = nn.Conv2d(high_channels, low_channels, 1)
        width = 2 * low_channels // GROUPS + mask_channels
        self.groups = nn.ModuleList(
            nn.Sequential(
                ChannelNorm(width), nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation, groups=width)
            )
            for dilation in DILATIONS
        )
        self.merge = nn.Sequential(ChannelNorm(GROUPS * width), nn.Conv2d(GROUPS * width, low_channels, 1))

    def forward(self, high: torch.Tensor, low: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, high_channels, ...), (B, low_channels, H, W) and (B, mask_channels, H, W) -> the shape of the second."""
        high = self.project(high)
        if self.doubles:
            high = double_bilinear(high, low.shape[2:])
        quarters = zip(high.chunk(GROUPS, dim=1), low.chunk(GROUPS, dim=1), strict=True)
        groups = [torch.cat([*pair, mask], dim=1) for pair in quarters]
        return self.merge(torch.cat([part(x) for part, x in zip(self.groups, groups, strict=True)], dim=1))


class EGEUNetDecoder(nn.Module):
    """Per level norm, upsampling and activation, a mask of the result, and the skip connection that it guides; head."""

    def __init__(
        self,
        out_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.deep_supervision = deep_supervision
        widths = list(pairwise(reversed(features)))
        self.levels = nn.ModuleList(
            EGEUNetGHPA(*pair) if i < CONVOLUTIONS else nn.Conv2d(*pair, 3, padding=1) for i, pair in enumerate(widths)
        )
        self.norms = nn.ModuleList(get_norm_layer(norm, 2, width) for _, width in widths)
        self.masks = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for _, width in widths)
        self.bridges = nn.ModuleList(EGEUNetGAB(*pair, out_channels, doubles=i > 0) for i, pair in enumerate(widths))
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor | list[torch.Tensor]:
        """Six maps, shallow to deep -> logits (B, out_channels, *size), `size` twice that of the first map.

        With deep supervision, in training: these, then the masks of all levels, finest first.
        """
        *skips, x = pyramid
        bridged, masks = x, []
        levels = zip(self.levels, self.norms, self.masks, self.bridges, reversed(skips), strict=True)
        for level, norm, to_mask, bridge, skip in levels:
            x = norm(level(x))
            # The deepest skip has the size of the deepest map already.
            if skip is not skips[-1]:
                x = double_bilinear(x, skip.shape[2:])
            x = self.dropout(self.act(x))
            masks.append(to_mask(x))
            bridged = bridge(bridged, skip, masks[-1])
            x = x + bridged
        logits = double_bilinear(self.head(x), size)
        return [logits, *reversed(masks)] if self.deep_supervision and self.training else logits


@register_network(
    NetworkCard(
        name="egeunet",
        title="EGE-UNet: an Efficient Group Enhanced UNet for skin lesion segmentation",
        year=2023,
        paper="arXiv:2307.08473",
        origin="JCruan519/EGE-UNet@f52ba30c6bf7",
        licence="none found",
        parameters=53_374,
        reference_parameters=(({}, 53_374),),
        macs_thop=72_096_256,
        macs=72_096_256,
        flops=144_192_512,
        size_multiple=32,
        description="U-shaped network of six levels: convolutions, then learned weights along plane, height and width.",
        quirks=(
            "The origin ends in sigmoids, of the logits and of five auxiliary masks, all upsampled; ours gives logits, "
            "and the masks as they leave their levels, the finest first.",
            "Without deep supervision the origin fails, as its bridges miss their masks; ours computes the masks "
            "always, and returns them with deep supervision in training.",
            "The masks enter the bridges as logits, and are taken before the skip connection is added.",
            "Where there are several output channels, the masks have as many; the origin knows one.",
        ),
        notes=(
            "As its authors train, the loss of the masks, each upsampled to the image, is added with weights 0.5, 0.4, "
            "0.3, 0.2 and 0.1, the finest first.",
            "Its norms over five channels and more amplify rounding. With random weights (eight seeds, 256x256) "
            "float16 autocast changes the logits by 0.3 to 2.3 % in norm, bfloat16 by 2 to 20 %: prefer float16.",
        ),
        parallelized=(
            "Its six group multi-axis Hadamard product attention (GHPA) modules, as in Table 4 of the UltraLight "
            "VM-UNet paper."
        ),
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
    )
)
class EGEUNet(UNetLike):
    """EGE-UNet. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the six levels, shallow to deep; all multiples of 4, those of the first five of the
            norm's groups.
        act: activation between levels, as MONAI names it.
        norm: norm between levels, as MONAI names it.
        dropout: probability, after every level.
        deep_supervision: in training, return the masks of the five levels behind the logits, finest first.

    Raises:
        ValueError: spatial_dims other than 2, not six levels, or widths that are no multiples of 4.
    """

    base_block = EGEUNetGHPA
    auxiliary_weights = (0.5, 0.4, 0.3, 0.2, 0.1)

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (8, 16, 24, 32, 48, 64),
        act: str | tuple[str, dict[str, Any]] = "gelu",
        norm: str | tuple[str, dict[str, Any]] = ("group", {"num_groups": 4}),
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"egeunet is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) != 2 * CONVOLUTIONS or any(width % GROUPS for width in features):
            raise ValueError(f"features must name six levels, all multiples of 4, got {tuple(features)}")
        levels = [
            nn.Conv2d(*pair, 3, padding=1) if i < CONVOLUTIONS else EGEUNetGHPA(*pair)
            for i, pair in enumerate(pairwise((in_channels, *features)))
        ]
        super().__init__(
            encoder=LightsegPooledEncoder(levels, features, act, norm, dropout),
            decoder=EGEUNetDecoder(out_channels, features, act, norm, dropout, deep_supervision),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=(2, 4, 8, 16, 32, 32),
        )
        init_fan_out(self)
