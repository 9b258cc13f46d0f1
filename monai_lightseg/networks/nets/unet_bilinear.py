"""The U-Net that the nmODE decoders are measured against: double convolutions, bilinear upsampling.

Paper: O. Ronneberger et al., "U-Net", MICCAI 2015; in the form of "Lightweight nmODE Decoders For U-like networks",
IJCAI 2024, arXiv 2412.06262.
Origin: nayutayuki/Lightweight-nmODE-Decoders-For-U-like-networks (no licence stated); written anew.
"""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from monai_lightseg.networks.blocks.double_conv import LightsegDoubleConv, LightsegDoubleConvEncoder
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["UNetBilinear"]


class UNetBilinearDecoder(nn.Module):
    """Upsample, concatenate the skip in front, double convolution; per level from deep to shallow; 1x1 head."""

    def __init__(
        self,
        spatial_dims: int,
        features: Sequence[int],
        out_channels: int,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        levels: list[LightsegDoubleConv] = []
        width = features[-1]
        for i in reversed(range(len(features) - 1)):
            # Each level leaves the width of the next skip, the last one its own.
            out = features[max(i - 1, 0)]
            levels.append(LightsegDoubleConv(spatial_dims, features[i] + width, out, act, norm, dropout))
            width = out
        self.levels = nn.ModuleList(levels)
        mode = "bilinear" if spatial_dims == 2 else "trilinear"
        self.up = nn.Upsample(scale_factor=2, mode=mode, align_corners=True)
        self.head = Conv[Conv.CONV, spatial_dims](width, out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Pyramid, shallow to deep, each level half the one before -> logits (B, out_channels, *size)."""
        x = pyramid[-1]
        for level, skip in zip(self.levels, reversed(pyramid[:-1]), strict=True):
            x = level(torch.cat([skip, self.up(x)], dim=1))
        return self.head(x)


@register_network(
    NetworkCard(
        name="unet_bilinear",
        title="U-Net: Convolutional Networks for Biomedical Image Segmentation",
        year=2015,
        paper="arXiv:1505.04597",
        origin="nayutayuki/Lightweight-nmODE-Decoders-For-U-like-networks@0fb705741b30",
        licence="none stated",
        parameters=13_395_329,
        reference_parameters=(({}, 13_395_329),),
        macs_thop=31_119_114_240,
        macs=30_920_409_088,
        flops=61_840_818_176,
        size_multiple=16,
        description="U-Net, widths 64 to 512, bilinear upsampling: the baseline and host of the nmODE decoder paper.",
        quirks=("The origin ends in a sigmoid; ours gives logits.",),
        parallelized=(
            "All its double convolutions but the first, as Table 4 of the UltraLight VM-UNet paper does in a U-Net of "
            "2.0 M parameters."
        ),
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
    )
)
class UNetBilinear(UNetLike):
    """U-Net with bilinear upsampling. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels per level, shallow to deep; strides 1, 2, 4, ...
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every double convolution.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: fewer than two levels, or deep supervision asked for.
    """

    base_block = LightsegDoubleConv

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512, 512),
        act: str | tuple[str, dict[str, Any]] = "relu",
        norm: str | tuple[str, dict[str, Any]] = "batch",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if len(features) < 2:
            raise ValueError(f"features must name two or more levels, got {tuple(features)}")
        if deep_supervision:
            raise ValueError("unet_bilinear has no auxiliary outputs: deep_supervision must be False")
        super().__init__(
            encoder=LightsegDoubleConvEncoder(spatial_dims, in_channels, features, act, norm, dropout),
            decoder=UNetBilinearDecoder(spatial_dims, features, out_channels, act, norm, dropout),
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=[2**i for i in range(len(features))],
        )
