"""LightM-UNet: Mamba layers in the encoder, depthwise separable convolutions in the decoder.

Paper: W. Liao, Y. Zhu, X. Wang, C. Pan, Y. Wang, L. Ma, "LightM-UNet: Mamba Assists in Lightweight UNet for Medical
Image Segmentation", 2024, arXiv 2403.05246.
Origin: MrBlankness/LightM-UNet@6b72e27ba70c; written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn

from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["LightMUNet"]


class LightMUNetMambaLayer(nn.Module):
    """Norm and Mamba, plus the scaled input, then the same norm again and a projection; the pixels are the tokens."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_channels)
        self.mamba = LightsegMamba(in_channels)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        tokens = x.flatten(2).transpose(1, 2)
        tokens = self.mamba(self.norm(tokens)) + self.skip_scale * tokens
        tokens = self.proj(self.norm(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


class LightMUNetEncoderBlock(nn.Module):
    """(Norm, activation, Mamba layer) twice, plus the input. (B, channels, H, W) -> (B, channels, H, W)."""

    def __init__(
        self, channels: int, act: str | tuple[str, dict[str, Any]], norm: str | tuple[str, dict[str, Any]]
    ) -> None:
        super().__init__()
        self.norm1 = get_norm_layer(norm, 2, channels)
        self.mamba1 = LightMUNetMambaLayer(channels, channels)
        self.norm2 = get_norm_layer(norm, 2, channels)
        self.mamba2 = LightMUNetMambaLayer(channels, channels)
        self.act = get_act_layer(act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        y = self.mamba1(self.act(self.norm1(x)))
        return x + self.mamba2(self.act(self.norm2(y)))


class LightMUNetEncoder(nn.Module):
    """Per level what brings the map to its size and width, then its blocks.

    That is a depthwise separable convolution at first, then a Mamba layer followed by 2x2 max-pooling.
    """

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        blocks: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        entries = [
            _depthwise_separable(in_channels, features[0], 3, bias=False),
            *(nn.Sequential(LightMUNetMambaLayer(*pair), LightsegMaxPool(2)) for pair in pairwise(features)),
        ]
        self.levels = nn.ModuleList(
            nn.Sequential(entry, *(LightMUNetEncoderBlock(width, act, norm) for _ in range(number)))
            for entry, width, number in zip(entries, features, blocks, strict=True)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 1, 2, 4, ..."""
        pyramid = []
        for level in self.levels:
            x = self.dropout(level(x))
            pyramid.append(x)
        return pyramid


class LightMUNetDecoderBlock(nn.Module):
    """Norm, activation, convolution, plus the scaled input, then norm and activation; the shape is kept."""

    def __init__(
        self, channels: int, act: str | tuple[str, dict[str, Any]], norm: str | tuple[str, dict[str, Any]]
    ) -> None:
        super().__init__()
        self.norm1 = get_norm_layer(norm, 2, channels)
        self.conv = _depthwise_separable(channels, channels, 3, bias=False)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.norm2 = get_norm_layer(norm, 2, channels)
        self.act = get_act_layer(act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        y = self.conv(self.act(self.norm1(x))) + self.skip_scale * x
        return self.act(self.norm2(y))


class LightMUNetDecoder(nn.Module):
    """Per level a 1x1 convolution, bilinear upsampling, plus the skip, and its blocks; norm, activation and head."""

    def __init__(
        self,
        out_channels: int,
        features: Sequence[int],
        blocks: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.narrow = nn.ModuleList(nn.Conv2d(*pair, 1, bias=False) for pair in pairwise(reversed(features)))
        self.levels = nn.ModuleList(
            nn.Sequential(*(LightMUNetDecoderBlock(width, act, norm) for _ in range(number)))
            for width, number in zip(reversed(features[:-1]), blocks, strict=True)
        )
        self.up = nn.Upsample(scale_factor=2, mode="bilinear")
        self.dropout = nn.Dropout(dropout)
        self.norm = get_norm_layer(norm, 2, features[0])
        self.act = get_act_layer(act)
        self.head = _depthwise_separable(features[0], out_channels, 1, bias=True)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps, shallow to deep, each half the one before -> logits (B, out_channels, *size), that of the first."""
        *skips, x = pyramid
        for narrow, level, skip in zip(self.narrow, self.levels, reversed(skips), strict=True):
            x = self.dropout(level(self.up(narrow(x)) + skip))
        return self.head(self.act(self.norm(x)))


def _depthwise_separable(in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, kernel_size, padding=kernel_size // 2, groups=in_channels, bias=bias),
        nn.Conv2d(in_channels, out_channels, 1, bias=bias),
    )


@register_network(
    NetworkCard(
        name="lightm_unet",
        title="LightM-UNet: Mamba Assists in Lightweight UNet for Medical Image Segmentation",
        year=2024,
        paper="arXiv:2403.05246",
        origin="MrBlankness/LightM-UNet@6b72e27ba70c",
        licence="none found",
        parameters=5_011_732,
        reference_parameters=(({"out_channels": 2}, 5_011_765),),
        macs_thop=2_128_281_600,
        macs=11_936_137_216,
        flops=28_618_129_408,
        size_multiple=8,
        description="U-shaped network of four levels: Mamba layers down, depthwise separable convolutions up.",
        quirks=(
            "A Mamba layer adds its input as it came, not the normalised one, and applies the same layer norm before "
            "and after Mamba.",
            "The paper's vision state-space module is in the release a plain Mamba: one scan in row-major order.",
            "The Mamba layer that widens a level runs in front of its max-pooling, at the size of the level above.",
            "A decoder block ends in norm and activation, behind its residual.",
        ),
        notes=(
            "Its authors name 1 M parameters; the network they released has 5.01 M.",
            "Code of before 2024-03-29 had no depthwise convolutions: its checkpoints do not fit. The 3D form of the "
            "release is not here. The parity test has no gradients of the release.",
            "The MACs as the papers count are those of modules, of which the fused Mamba blocks call none; with two "
            "output channels they are 2,130,378,752. As built, the convolutions and matrix products inside Mamba add "
            "10.0 G, and its scans 4.7 G FLOPs.",
            "torch.compile needs dynamic=False where images have several sizes: open sides take very long to compile.",
        ),
        parallelized=(
            "Every Mamba layer, as the UltraLight VM-UNet paper says. The figures of its Table 4, 0.109 M parameters "
            "from a base of 0.403 M, cannot be reproduced: the released network has 5.01 M."
        ),
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
    )
)
class LightMUNet(UNetLike):
    """LightM-UNet. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels per level, shallow to deep; strides 1, 2, 4, ...; multiples of the norm's groups.
        blocks_down: encoder blocks per level, shallow to deep; each block has two Mamba layers.
        blocks_up: decoder blocks per level, deep to shallow; one level fewer.
        act: activation, as MONAI names it.
        norm: norm between the layers, as MONAI names it; inside Mamba layers it is a layer norm.
        dropout: probability, after every level.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, fewer than two levels, numbers of blocks that do not belong to them,
            widths that do not split into the norm's groups, or deep supervision asked for.
    """

    base_block = LightMUNetMambaLayer

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (32, 64, 128, 256),
        blocks_down: Sequence[int] = (1, 2, 2, 4),
        blocks_up: Sequence[int] = (1, 1, 1),
        act: str | tuple[str, dict[str, Any]] = "relu",
        norm: str | tuple[str, dict[str, Any]] = ("group", {"num_groups": 8}),
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"lightm_unet is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) < 2:
            raise ValueError(f"features must name two or more levels, got {tuple(features)}")
        groups = 1 if isinstance(norm, str) else norm[1].get("num_groups", 1)
        if any(width % groups for width in features):
            raise ValueError(f"features must be multiples of the norm's {groups} groups, got {tuple(features)}")
        for name, blocks, levels in (
            ("blocks_down", blocks_down, len(features)),
            ("blocks_up", blocks_up, len(features) - 1),
        ):
            if len(blocks) != levels or any(number < 0 for number in blocks):
                raise ValueError(
                    f"{name} must give a number of blocks for each of {levels} levels, got {tuple(blocks)}"
                )
        if deep_supervision:
            raise ValueError("lightm_unet has no auxiliary outputs: deep_supervision must be False")
        super().__init__(
            encoder=LightMUNetEncoder(in_channels, features, blocks_down, act, norm, dropout),
            decoder=LightMUNetDecoder(out_channels, features, blocks_up, act, norm, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=[2**i for i in range(len(features))],
        )
