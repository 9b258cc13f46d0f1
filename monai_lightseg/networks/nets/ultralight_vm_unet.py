"""UltraLight VM-UNet: 49 thousand parameters through parallel vision Mamba layers.

Paper: R. Wu, Y. Liu, P. Liang, Q. Chang, "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters
for Skin Lesion Segmentation", 2024, arXiv 2403.20035.
Origin: wurenkai/UltraLight-VM-UNet@d7648e4ece53 (MIT); written anew.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from monai.utils import look_up_option
from torch import nn

from monai_lightseg.networks.blocks.additive_decoder import LightsegAdditiveDecoder
from monai_lightseg.networks.blocks.fan_out_init import init_fan_out
from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.pooled_encoder import LightsegPooledEncoder
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.networks.registry import NetworkCard, ReportedFigure, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["UltraLightVMUNet"]

# Levels 1 to 3 are convolutions, 4 to 6 PVM layers; the decoder mirrors them.
CONVOLUTIONS = 3


@register_network(
    NetworkCard(
        name="ultralight_vm_unet",
        title=(
            "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters for Skin Lesion Segmentation"
        ),
        year=2024,
        paper="arXiv:2403.20035",
        origin="wurenkai/UltraLight-VM-UNet@d7648e4ece53",
        licence="MIT",
        parameters=49_457,
        reference_parameters=(({"branches": 4}, 49_457), ({"branches": 2}, 69_589), ({"branches": 1}, 136_269)),
        macs_thop=60_240_000,
        macs=65_995_776,
        flops=146_941_952,
        size_multiple=32,
        description="U-shaped network of six levels, three of them parallel Mamba layers with shared weights.",
        quirks=(
            "The origin ends in a sigmoid; ours gives logits.",
            "The release initialises every linear and convolution weight anew, inside Mamba too, so its steps start "
            'near softplus(0) = 0.69 instead of 0.001 to 0.1; init="mamba" leaves Mamba its own.',
            "A PVM layer applies the same layer norm before and after its branches, and its residual adds the "
            "normalised input.",
            "The bridge changes the skip connections only; the encoder goes on from the maps in front of it.",
            "The released code has four branches; 2 and 1 are settings 2 and 1 of the paper, with its parameters.",
        ),
        notes=(
            "torch.compile needs dynamic=False where images have several sizes: open sides take very long to compile.",
            "The MACs as the papers count are the paper's 0.060 GFLOPs: multiply-accumulates of modules. The fused "
            "Mamba block counts nothing there, so all settings have the same figure.",
            "The FLOPs as built count 2 per multiply-accumulate of all convolutions and matrix products (0.132 G) and, "
            "as VMamba's counter does, 9 per state and position and 1 per input for D and z of the scans (0.015 G).",
        ),
        parallelized="Nothing: it consists of such layers; `branches` says how many branches they have.",
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
        reported=tuple(
            ReportedFigure("ISIC 2017", f"README of the release, 1250/150/600, {setting}", "pooled DSC", value)
            for setting, value in (("4 branches", "0.9091"), ("2 branches", "0.9073"), ("1 branch", "0.9069"))
        ),
    )
)
class UltraLightVMUNet(UNetLike):
    """UltraLight VM-UNet. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: channels of the six levels, shallow to deep; those of the last four multiples of `branches`, those of
            the first five of the norm's groups.
        branches: channel chunks of every PVM layer: 4 (released), 2 or 1 in the paper.
        bridge: whether the skip connections pass the attention bridge.
        split_att: "fc" or "conv", the form of the bridge's channel attention.
        init: "released" draws all linear and convolution weights anew, inside Mamba too; "mamba" leaves Mamba its own.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every level.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, not six levels, widths that do not split into branches, an unknown
            `split_att` or `init`, or deep supervision asked for.
    """

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (8, 16, 24, 32, 48, 64),
        branches: int = 4,
        bridge: bool = True,
        split_att: str = "fc",
        init: str = "released",
        act: str | tuple[str, dict[str, Any]] = "gelu",
        norm: str | tuple[str, dict[str, Any]] = ("group", {"num_groups": 4}),
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"ultralight_vm_unet is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) != 2 * CONVOLUTIONS:
            raise ValueError(f"features must name six levels, got {tuple(features)}")
        if deep_supervision:
            raise ValueError("ultralight_vm_unet has no auxiliary outputs: deep_supervision must be False")
        look_up_option(init, ("released", "mamba"))
        down = [
            nn.Conv2d(*pair, 3, padding=1) if i < CONVOLUTIONS else LightsegPVM(*pair, branches)
            for i, pair in enumerate(pairwise((in_channels, *features)))
        ]
        up = [
            LightsegPVM(*pair, branches) if i < CONVOLUTIONS else nn.Conv2d(*pair, 3, padding=1)
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
        init_fan_out(self, keep=LightsegMamba if init == "mamba" else None)
