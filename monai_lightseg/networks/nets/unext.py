"""UNeXt: convolutions at the shallow levels, MLPs on shifted channels at the deep ones.

Paper: J. M. J. Valanarasu, V. M. Patel, "UNeXt: MLP-based Rapid Medical Image Segmentation Network", MICCAI 2022,
arXiv 2203.04967.
Origin: jeya-maria-jose/UNeXt-pytorch@6ad0855114a3 (MIT); written anew.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn
from torch.nn import functional

from monai_lightseg.networks.blocks.fan_out_init import init_fan_out
from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["UNeXt", "UNeXtS"]

# Levels 1 to 3 are convolutions, 4 and 5 tokenised MLPs; the decoder mirrors them.
LEVELS = 5
CONVOLUTIONS = 3
# Chunk 0, 1, ... of the channels moves by -SHIFT, -SHIFT + 1, ... up to SHIFT pixels.
SHIFT = 2


class UNeXtLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel. (B, channels, H, W) -> (B, channels, H, W)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class UNeXtBlock(nn.Module):
    """Tokenised MLP of one width: two linear layers, with a depthwise convolution between them, plus the input.

    The first sees the channels shifted along the height, the second along the width.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, channels)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.linear2 = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        # Channels last all the way, as norm and linear layers want them; the convolution takes a view.
        pixels = self.linear1(shift_channels(self.norm(x.movedim(1, -1)), 1))
        pixels = functional.gelu(self.depthwise(pixels.movedim(-1, 1))).movedim(1, -1)
        return x + self.linear2(shift_channels(pixels, 2)).movedim(-1, 1)


def shift_channels(pixels: torch.Tensor, axis: int) -> torch.Tensor:
    """Move five chunks of the channels of (B, H, W, C) by -2, -1, 0, 1 and 2 along `axis`; zeros come in."""
    border = (0, 0, 0, 0, SHIFT, SHIFT) if axis == 1 else (0, 0, SHIFT, SHIFT)
    chunks = functional.pad(pixels, border).chunk(2 * SHIFT + 1, dim=3)
    size = pixels.shape[axis]
    return torch.cat([chunk.narrow(axis, 2 * SHIFT - i, size) for i, chunk in enumerate(chunks)], dim=3)


class UNeXtEncoder(nn.Module):
    """Convolution, norm, 2x2 max-pooling, activation per shallow level; patch embedding, block, norm per deep level."""

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for before, after in pairwise((in_channels, *features)):
            if len(self.levels) < CONVOLUTIONS:
                convolution = nn.Conv2d(before, after, 3, padding=1)
                level = nn.Sequential(
                    convolution, get_norm_layer(norm, 2, after), LightsegMaxPool(2), get_act_layer(act)
                )
            else:
                patches = nn.Conv2d(before, after, 3, stride=2, padding=1)
                level = nn.Sequential(patches, UNeXtLayerNorm(after), UNeXtBlock(after), UNeXtLayerNorm(after))
                init_fan_out(level)
            self.levels.append(level)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 2, 4, 8, 16 and 32."""
        pyramid = []
        for level in self.levels:
            x = self.dropout(level(x))
            pyramid.append(x)
        return pyramid


class UNeXtDecoder(nn.Module):
    """Per level convolution, norm, bilinear upsampling, activation, plus the skip; a block at the deep ones; head."""

    def __init__(
        self,
        out_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), get_norm_layer(norm, 2, after))
            for before, after in pairwise(reversed(features))
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(UNeXtBlock(width), UNeXtLayerNorm(width)) if i < LEVELS - CONVOLUTIONS else nn.Identity()
            for i, width in enumerate(reversed(features[:-1]))
        )
        init_fan_out(self.blocks)
        self.last = nn.Conv2d(features[0], features[0], 3, padding=1)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps, shallow to deep -> logits (B, out_channels, *size), `size` twice that of the first map."""
        *skips, x = pyramid
        for level, block, skip in zip(self.levels, self.blocks, reversed(skips), strict=True):
            x = self.act(_upsample(level(x), skip.shape[2:])) + skip
            x = self.dropout(block(x))
        x = self.dropout(self.act(_upsample(self.last(x), size)))
        return self.head(x)


def _upsample(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)


UNEXT = NetworkCard(
    name="unext",
    title="UNeXt: MLP-based Rapid Medical Image Segmentation Network",
    year=2022,
    paper="arXiv:2203.04967",
    origin="jeya-maria-jose/UNeXt-pytorch@6ad0855114a3",
    licence="MIT",
    parameters=1_471_921,
    reference_parameters=(({}, 1_471_921),),
    macs_thop=573_022_208,
    macs=562_003_968,
    flops=1_124_007_936,
    size_multiple=32,
    description="U-shaped network of five levels: convolutions, then MLPs whose channels are shifted across pixels.",
    quirks=(
        "The channels are cut as torch.chunk does: 128 into four chunks of 26 and one of 24. Some small numbers give "
        "fewer chunks than five, and so fewer shifts: 12 give four, moved by -2, -1, 0 and 1.",
        "The last upsampling follows a convolution without a norm.",
        "The initial weights of blocks and patch embeddings are drawn anew, those of all other layers are PyTorch's.",
    ),
    parallelized=(
        "Its four tokenised MLP blocks; the choice is ours. It slims little: most parameters are in the convolutions."
    ),
    not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
)


@register_network(UNEXT)
class UNeXt(UNetLike):
    """UNeXt. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the five levels, shallow to deep; None for the published ones, `published_features`.
        act: activation between levels, as MONAI names it; inside the blocks it is GELU.
        norm: norm after the convolutions, as MONAI names it; of the deep levels it is a layer norm.
        dropout: probability, after every level.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, not five levels, or deep supervision asked for.
    """

    base_block = UNeXtBlock
    published_features: ClassVar[tuple[int, ...]] = (16, 32, 128, 160, 256)

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] | None = None,
        act: str | tuple[str, dict[str, Any]] = "relu",
        norm: str | tuple[str, dict[str, Any]] = "batch",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        features = self.published_features if features is None else features
        if spatial_dims != 2:
            raise ValueError(f"{type(self).__name__} is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) != LEVELS:
            raise ValueError(f"features must name five levels, got {tuple(features)}")
        if deep_supervision:
            raise ValueError(f"{type(self).__name__} has no auxiliary outputs: deep_supervision must be False")
        super().__init__(
            encoder=UNeXtEncoder(in_channels, features, act, norm, dropout),
            decoder=UNeXtDecoder(out_channels, features, act, norm, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=(2, 4, 8, 16, 32),
        )


@register_network(
    replace(
        UNEXT,
        name="unext_s",
        parameters=253_561,
        reference_parameters=(({}, 253_561),),
        macs_thop=103_833_600,
        macs=99_229_696,
        flops=198_459_392,
        description="UNeXt with a quarter to half of the channels per level.",
    )
)
class UNeXtS(UNeXt):
    """UNeXt-S: UNeXt with fewer channels. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Arguments as UNeXt.
    """

    published_features = (8, 16, 32, 64, 128)
