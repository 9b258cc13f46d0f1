"""U-Net with valid convolutions: the baseline of the U-Node paper.

Paper: H. Pinckaers, G. Litjens, "Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon
Glands", 2019, arXiv 1910.10470; the network is that of O. Ronneberger et al., "U-Net", MICCAI 2015, arXiv 1505.04597.
Origin: DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45 (MIT); written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.utils import look_up_option
from torch import nn

from monai_lightseg.networks.blocks.double_conv import LightsegDoubleConv
from monai_lightseg.networks.blocks.fan_in_init import init_fan_in
from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool
from monai_lightseg.networks.registry import NetworkCard, ReportedFigure, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["ValidConvUNet"]

PADDINGS = ("same_size", "valid")
# Pixels that a double convolution takes from each axis.
LOSS = 4


class ValidMapConv(LightsegDoubleConv):
    """A double convolution that reads a map: what `parallelize` replaces. The one that reads the image stays."""


class ValidConvUNetEncoder(nn.Module):
    """A double convolution per level, 2x2 max-pooling between levels."""

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        first = LightsegDoubleConv(2, in_channels, features[0], act, norm, dropout, padding=0)
        deeper = (ValidMapConv(2, *pair, act, norm, dropout, padding=0) for pair in pairwise(features))
        self.levels = nn.ModuleList([first, *deeper])
        self.pool = LightsegMaxPool(2)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 1, 2, 4, ..., each without what the convolutions lost."""
        pyramid = [_shrunk(self.levels[0], x)]
        for level in self.levels[1:]:
            pyramid.append(_shrunk(level, self.pool(pyramid[-1])))
        return pyramid


class ValidConvUNetDecoder(nn.Module):
    """Per level, deep to shallow: transposed convolution, the centre of the skip in front, double convolution; head.

    Args:
        features: channels per level, shallow to deep.
        out_channels: channels of the logits.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every double convolution.
        padding: "same_size" cuts the logits to the size asked for, "valid" leaves what the convolutions left.
    """

    def __init__(
        self,
        features: Sequence[int],
        out_channels: int,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
        padding: str,
    ) -> None:
        super().__init__()
        self.up = nn.ModuleList(nn.ConvTranspose2d(*pair, 2, stride=2) for pair in pairwise(reversed(features)))
        self.levels = nn.ModuleList(
            ValidMapConv(2, 2 * width, width, act, norm, dropout, padding=0) for width in reversed(features[:-1])
        )
        self.head = nn.Conv2d(features[0], out_channels, 1)
        self.padding = padding

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Maps, shallow to deep -> logits (B, out_channels, *size); with padding "valid" as large as they come out."""
        *skips, x = pyramid
        for up, level, skip in zip(self.up, self.levels, reversed(skips), strict=True):
            x = up(x)
            x = _shrunk(level, torch.cat([_centre(skip, x.shape[2:]), x], dim=1))
        return self.head(x if self.padding == "valid" else _centre(x, size))


def _shrunk(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """`block` of `x`, also smaller by `LOSS` where a parallel vision Mamba layer, which keeps the size, stands in."""
    return _centre(block(x), [side - LOSS for side in x.shape[2:]])


def _centre(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """The middle (B, C, *size) of a map; of an odd remainder the larger half is cut off the end."""
    for axis, side in enumerate(size, start=2):
        x = x.narrow(axis, (x.shape[axis] - side) // 2, side)
    return x


def _reflect(x: torch.Tensor, width: int) -> torch.Tensor:
    """(B, C, H, W) -> (B, C, H + 2 width, W + 2 width), reflected at its borders, again and again where it is small."""
    for axis in (2, 3):
        side = x.shape[axis]
        period = 2 * (side - 1)
        places = torch.arange(-width, side + width, device=x.device)
        # The remainder by division: ONNX has none by a side that is open.
        places = places - places // period * period
        x = x.index_select(axis, torch.minimum(places, period - places))
    return x


@register_network(
    NetworkCard(
        name="unet_valid",
        title="Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon Glands",
        year=2019,
        paper="arXiv:1910.10470",
        origin="DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45",
        licence="MIT",
        parameters=31_031_745,
        reference_parameters=(({}, 31_031_745), ({"out_channels": 2, "padding": "valid"}, 31_031_810)),
        macs_thop=86_577_066_752,
        macs=78_490_972_928,
        flops=156_981_945_856,
        size_multiple=16,
        description="U-Net with valid convolutions, widths 64 to 1024: the baseline of the U-Node paper.",
        quirks=(
            'The release gives a map 184 to 199 pixels smaller than its image; padding="valid" does, too. By default '
            "the image is reflected by 94 pixels on each side and the logits are cut to its size.",
            "The release predicts on images reflected by 96 pixels. Pooling then drops rows and columns, and the deep "
            "maps come to lie two pixels off the skips of the two finest levels; with 94 every pooled map is even and "
            'every crop exact. padding="valid" on an image reflected by 96 pixels gives what the release predicts.',
            "The release takes what to crop from the height alone, for both axes. That is right where both sides leave "
            'the same remainder modulo 16; padding="valid" refuses other sides.',
            "Initial weights are Kaiming normal and biases 0, but for the transposed convolutions, which keep those of "
            "PyTorch.",
        ),
        notes=(
            "MACs and FLOPs are those of the reflected image, 444x444.",
            "The release has two output channels: eroded glands and glands.",
            "Another decoder (replace_decoder) gets of each level the part that shows the image.",
        ),
        parallelized=(
            "All its double convolutions but the first; a layer keeps the size of its map, so two pixels are cut off "
            'each side of what it gives. Not with padding="valid".'
        ),
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
        reported=tuple(
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", metric, value)
            for metric, value in (("object Dice", "0.868"), ("object F1", "0.841"), ("object Hausdorff", "69.6"))
        ),
    )
)
class ValidConvUNet(UNetLike):
    """U-Net with valid convolutions. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels per level, shallow to deep; strides 1, 2, 4, ...
        act: activation, as MONAI names it.
        norm: norm after each convolution of the levels, as MONAI names it; "" for none, as released.
        dropout: probability, after every double convolution.
        deep_supervision: must be False; the network has no auxiliary outputs.
        padding: "same_size" reflects the image by what the convolutions lose; "valid" gives the smaller map that they
            leave, as released: its pixel (0, 0) lies well inside the image, whatever the affine of a MetaTensor says.

    Raises:
        ValueError: spatial_dims other than 2, fewer than two levels, an unknown padding, or deep supervision asked for.
    """

    base_block = ValidMapConv

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
        act: str | tuple[str, dict[str, Any]] = "relu",
        norm: str | tuple[str, dict[str, Any]] = "",
        dropout: float = 0.0,
        deep_supervision: bool = False,
        padding: str = "same_size",
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"unet_valid is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) < 2:
            raise ValueError(f"features must name two or more levels, got {tuple(features)}")
        if deep_supervision:
            raise ValueError("unet_valid has no auxiliary outputs: deep_supervision must be False")
        look_up_option(padding, PADDINGS)
        super().__init__(
            encoder=ValidConvUNetEncoder(in_channels, features, act, norm, dropout),
            decoder=ValidConvUNetDecoder(features, out_channels, act, norm, dropout, padding),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=[2**i for i in range(len(features))],
        )
        init_fan_in(self)

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Image (B, in_channels, H, W), sides multiples of `size_multiple` -> pyramid, shallow to deep.

        For the decoder of this network the maps go beyond the image by what its convolutions lose. For any other
        decoder level i shows the image alone, H / 2**i times W / 2**i. With padding "valid" nothing is added.
        """
        if self._is_valid():
            return super().encode(x)
        # The encoder loses 4 stride - 2 pixels a side, the decoder 2 stride - 2; two more make every pooled map even.
        pyramid = super().encode(_reflect(x, 6 * self.size_multiple[0] - 2))
        if isinstance(self.decoder, ValidConvUNetDecoder):
            return pyramid
        return [_centre(level, [side // 2**i for side in x.shape[2:]]) for i, level in enumerate(pyramid)]

    def _is_valid(self) -> bool:
        """Whether the logits are the smaller, released map, which is a matter of the decoder."""
        return isinstance(self.decoder, ValidConvUNetDecoder) and self.decoder.padding == "valid"

    def _check_input(self, x: torch.Tensor) -> None:
        super()._check_input(x)
        if not self._is_valid():
            return
        stride, (height, width) = self.size_multiple[0], x.shape[2:]
        if (height - width) % stride:
            raise ValueError(
                f"padding='valid' crops the width by what the height loses: both must leave the same remainder modulo "
                f"{stride}, got {height} x {width}. Pad one of them, or use padding='same_size'"
            )
        smallest = 12 * stride - 4
        if min(height, width) < smallest:
            raise ValueError(
                f"padding='valid' leaves nothing of {height} x {width}: both sides must be {smallest} or more. "
                "Pad them, or use padding='same_size'"
            )

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        return x if self._is_valid() else super()._pad(x)
