"""U-Lite: 878 thousand parameters through axial depthwise convolutions.

Paper: B.-D. Dinh, T.-T. Nguyen, T.-T. Tran, V.-T. Pham, "1M parameters are enough? A lightweight CNN-based model for
medical image segmentation", APSIPA ASC 2023, arXiv 2306.16103.
Origin: duong-db/U-Lite@5e2d53e0daca; written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from torch import nn
from torch.nn import functional

from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["ULite"]

# Of every axial convolution, whatever the origin's argument for it says.
KERNEL_SIZE = 7
BOTTLENECK_KERNEL_SIZE = 3
BOTTLENECK_DILATIONS = (1, 2, 3)


class ULiteAxialConv(nn.Module):
    """The input plus a depthwise convolution of it along the height and another along the width; any shape is kept."""

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        size, border = kernel_size, dilation * (kernel_size - 1) // 2
        self.height = nn.Conv2d(
            channels, channels, (size, 1), padding=(border, 0), dilation=(dilation, 1), groups=channels
        )
        self.width = nn.Conv2d(
            channels, channels, (1, size), padding=(0, border), dilation=(1, dilation), groups=channels
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return x + self.height(x) + self.width(x)


class ULiteBottleneck(nn.Module):
    """A quarter of the channels, three axial convolutions of it at growing dilation, all four side by side, mixed."""

    def __init__(
        self, channels: int, act: str | tuple[str, dict[str, Any]], norm: str | tuple[str, dict[str, Any]]
    ) -> None:
        super().__init__()
        quarter = channels // 4
        self.reduce = nn.Conv2d(channels, quarter, 1)
        self.axial = nn.ModuleList(
            ULiteAxialConv(quarter, BOTTLENECK_KERNEL_SIZE, dilation) for dilation in BOTTLENECK_DILATIONS
        )
        self.norm = get_norm_layer(norm, 2, channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.act = get_act_layer(act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        x = self.reduce(x)
        x = torch.cat([x, *(axial(x) for axial in self.axial)], dim=1)
        return self.act(self.mix(self.norm(x)))


class ULiteEncoder(nn.Module):
    """7x7 convolution; per level axial convolution and norm (the skip), then 1x1, 2x2 max-pooling and activation."""

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, features[0], KERNEL_SIZE, padding=KERNEL_SIZE // 2)
        self.axial = nn.ModuleList(ULiteAxialConv(width, KERNEL_SIZE) for width in features[:-1])
        self.norms = nn.ModuleList(get_norm_layer(norm, 2, width) for width in features[:-1])
        self.widen = nn.ModuleList(nn.Conv2d(*pair, 1) for pair in pairwise(features))
        self.bottleneck = ULiteBottleneck(features[-1], act, norm)
        self.pool = LightsegMaxPool(2)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 1, 2, 4, ..., the last of the bottleneck."""
        x = self.stem(x)
        pyramid = []
        for axial, norm, widen in zip(self.axial, self.norms, self.widen, strict=True):
            pyramid.append(norm(axial(x)))
            x = self.dropout(self.act(self.pool(widen(pyramid[-1]))))
        return [*pyramid, self.bottleneck(x)]


class ULiteDecoderLevel(nn.Module):
    """Nearest upsampling, the skip beside it, 1x1, norm, axial convolution, 1x1, activation.

    In eval the first 1x1 convolution holds its weights and is not called, so forward hooks on it do not fire; one that
    is wrapped, parametrised or replaced is called.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
    ) -> None:
        super().__init__()
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.narrow = nn.Conv2d(in_channels + out_channels, out_channels, 1)
        self.norm = get_norm_layer(norm, 2, out_channels)
        self.axial = ULiteAxialConv(out_channels, KERNEL_SIZE)
        self.mix = nn.Conv2d(out_channels, out_channels, 1)
        self.act = get_act_layer(act)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, H, W) and (B, out_channels, 2 H, 2 W) -> (B, out_channels, 2 H, 2 W)."""
        return self.act(self.mix(self.axial(self.norm(self._narrowed(x, skip)))))

    def _narrowed(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        """1x1 convolution of the upsampled map and the skip side by side."""
        if self.training or type(self.narrow) is not nn.Conv2d:
            return self.narrow(torch.cat([self.up(x), skip], dim=1))
        # It commutes with repeating pixels, so in eval the deep map is narrowed while it is small: half the work.
        deep, shallow = self.narrow.weight.split([x.shape[1], skip.shape[1]], dim=1)
        return self.up(functional.conv2d(x, deep)) + functional.conv2d(skip, shallow, self.narrow.bias)


class ULiteDecoder(nn.Module):
    """One level per skip, deep to shallow; 1x1 head."""

    def __init__(
        self,
        out_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(ULiteDecoderLevel(*pair, act, norm) for pair in pairwise(reversed(features)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps, shallow to deep -> logits (B, out_channels, *size), `size` that of the first map."""
        *skips, x = pyramid
        for level, skip in zip(self.levels, reversed(skips), strict=True):
            x = self.dropout(level(x, skip))
        return self.head(x)


@register_network(
    NetworkCard(
        name="ulite",
        title="1M parameters are enough? A lightweight CNN-based model for medical image segmentation",
        year=2023,
        paper="arXiv:2306.16103",
        origin="duong-db/U-Lite@5e2d53e0daca",
        licence="none found",
        parameters=878_417,
        reference_parameters=(({}, 878_417),),
        macs_thop=756_957_184,
        macs=610_680_832,
        flops=1_221_361_664,
        size_multiple=32,
        description="U-shaped network of axial depthwise convolutions: one along the height, one along the width.",
        quirks=("The origin has an argument for the kernel size and ignores it: its axial convolutions are 7x7.",),
        notes=(
            "The MACs as built are those of eval, where the 1x1 convolution behind each upsampling runs in front of "
            "it; in training and in the release they are 736,509,952.",
        ),
        parallelized=(
            "Its bottleneck, the block that sees furthest; the choice is ours. It slims nothing: U-Lite consists of "
            "1x1 convolutions, and a parallel vision Mamba layer holds one of the same size itself."
        ),
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
    )
)
class ULite(UNetLike):
    """U-Lite. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels per level, shallow to deep; strides 1, 2, 4, ...; the last a multiple of 4.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every level.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, fewer than two levels, a last width that is no multiple of 4, or deep
            supervision asked for.
    """

    base_block = ULiteBottleneck

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (16, 32, 64, 128, 256, 512),
        act: str | tuple[str, dict[str, Any]] = "gelu",
        norm: str | tuple[str, dict[str, Any]] = "batch",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"ulite is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) < 2 or features[-1] % 4:
            raise ValueError(
                f"features must name two or more levels, the last one a multiple of 4, got {tuple(features)}"
            )
        if deep_supervision:
            raise ValueError("ulite has no auxiliary outputs: deep_supervision must be False")
        super().__init__(
            encoder=ULiteEncoder(in_channels, features, act, norm, dropout),
            decoder=ULiteDecoder(out_channels, features, act, norm, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=[2**i for i in range(len(features))],
        )
