"""U-ResNet: U-Node's residual twin, to which its paper compares it.

Paper: H. Pinckaers, G. Litjens, "Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon
Glands", 2019, arXiv 1910.10470.
Origin: DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45; written anew.
"""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer
from torch import nn

from monai_lightseg.networks.blocks.fan_in_init import init_fan_in
from monai_lightseg.networks.blocks.halving_frame import LightsegHalvingDecoder, LightsegHalvingEncoder
from monai_lightseg.networks.blocks.instance_norm import get_fast_norm_layer
from monai_lightseg.networks.registry import NetworkCard, ReportedFigure, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["UResNet"]


class UResNetBlock(nn.Module):
    """Convolution, activation, norm, convolution, activation, plus the input; a norm in front where asked for."""

    def __init__(
        self,
        channels: int,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]] | None,
        norm_input: bool,
    ) -> None:
        super().__init__()
        # The release gives the number of channels where the norm takes its epsilon.
        norm = ("instance", {"eps": float(channels)}) if norm is None else norm
        self.norm1 = get_fast_norm_layer(norm, channels) if norm_input else nn.Identity()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = get_fast_norm_layer(norm, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.act = get_act_layer(act)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return x + self.act(self.conv2(self.norm2(self.act(self.conv1(self.norm1(x))))))


@register_network(
    NetworkCard(
        name="uresnet",
        title="Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon Glands",
        year=2019,
        paper="arXiv:1910.10470",
        origin="DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45",
        licence="MIT",
        parameters=2_074_081,
        reference_parameters=(({"out_channels": 2}, 2_074_098),),
        macs_thop=3_065_643_008,
        macs=3_057_647_616,
        flops=6_115_295_232,
        size_multiple=16,
        description="The residual twin of U-Node: each ODE block is one residual block.",
        quirks=(
            "The release normalises the input of a block and drops the result; norm_input=True uses it.",
            "The norm gets the number of channels for its epsilon, so that it mostly centres; norm='instance' is the "
            "usual one.",
            "In the encoder the next level is fed with what goes into a block, not with what comes out, so that "
            "these blocks act on the skips alone; blocks_on_trunk=True is the usual form.",
        ),
        notes=(
            "thop counts 8,455,389,184 multiply-accumulates in the release on an image of 352x512 and 8,433,401,856 in "
            "ours: the difference is the norm whose result is dropped.",
        ),
        parallelized="Its residual blocks; the choice is ours.",
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
        reported=(
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", "object Dice", "0.757"),
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", "object F1", "0.689"),
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", "object Hausdorff", "122"),
        ),
    )
)
class UResNet(UNetLike):
    """U-ResNet. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits; the paper has two, the eroded gland and the gland.
        features: channels per level, shallow to deep; strides 1, 2, 4, ...
        norm_input: normalise in front of a block's first convolution as well; False as released.
        blocks_on_trunk: feed the next level with what leaves a block; False as released.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it; None as released: instance norm with the number of channels as its epsilon.
        dropout: probability, after every block.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, fewer than two levels, or deep supervision asked for.
    """

    base_block = UResNetBlock

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (16, 32, 64, 128, 256),
        norm_input: bool = False,
        blocks_on_trunk: bool = False,
        act: str | tuple[str, dict[str, Any]] = "leakyrelu",
        norm: str | tuple[str, dict[str, Any]] | None = None,
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"uresnet is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) < 2:
            raise ValueError(f"features must name two or more levels, got {tuple(features)}")
        if deep_supervision:
            raise ValueError("uresnet has no auxiliary outputs: deep_supervision must be False")
        down = [UResNetBlock(width, act, norm, norm_input) for width in features]
        up = [UResNetBlock(width, act, norm, norm_input) for width in reversed(features[:-1])]
        super().__init__(
            encoder=LightsegHalvingEncoder(in_channels, features, down, act, dropout, blocks_on_trunk),
            decoder=LightsegHalvingDecoder(features, up, out_channels, act, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=[2**i for i in range(len(features))],
        )
        init_fan_in(self)
