"""UltraLight VM-UNet: 49 thousand parameters through parallel vision Mamba layers.

Paper: R. Wu, Y. Liu, P. Liang, Q. Chang, "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters
for Skin Lesion Segmentation", 2024, arXiv 2403.20035.
Origin: wurenkai/UltraLight-VM-UNet@d7648e4ece53 (MIT); written anew.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer, get_norm_layer
from monai.utils import look_up_option
from torch import nn

from monai_lightseg.networks.blocks.bilinear_doubling import double_bilinear
from monai_lightseg.networks.blocks.bridges import LightsegBridge
from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.networks.registry import NetworkCard, ReportedFigure, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["UltraLightVMUNet"]

# Levels 1 to 3 are convolutions, 4 to 6 PVM layers; the decoder mirrors them.
CONVOLUTIONS = 3


class UltraLightVMUNetEncoder(nn.Module):
    """Six levels; norm, 2x2 max-pooling and activation after each but the last, which only has the activation."""

    def __init__(
        self,
        in_channels: int,
        features: Sequence[int],
        branches: int,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        widths = list(pairwise((in_channels, *features)))
        self.levels = nn.ModuleList(
            nn.Conv2d(*pair, 3, padding=1) if i < CONVOLUTIONS else LightsegPVM(*pair, branches)
            for i, pair in enumerate(widths)
        )
        self.norms = nn.ModuleList(get_norm_layer(norm, 2, width) for width in features[:-1])
        self.pool = LightsegMaxPool(2)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, in_channels, H, W) -> maps at strides 2, 4, 8, 16, 32 and 32."""
        pyramid = []
        for level, norm in zip(self.levels, self.norms, strict=False):
            x = self.dropout(self.act(self.pool(norm(level(x)))))
            pyramid.append(x)
        pyramid.append(self.dropout(self.act(self.levels[-1](x))))
        return pyramid


class UltraLightVMUNetDecoder(nn.Module):
    """Bridge over the skip connections; five levels that each add one of them; 1x1 head, upsampled."""

    def __init__(
        self,
        out_channels: int,
        features: Sequence[int],
        branches: int,
        bridge: bool,
        split_att: str,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        dropout: float,
    ) -> None:
        super().__init__()
        self.bridge = LightsegBridge(features[:-1], split_att) if bridge else None
        widths = list(pairwise(reversed(features)))
        self.levels = nn.ModuleList(
            LightsegPVM(*pair, branches) if i < CONVOLUTIONS else nn.Conv2d(*pair, 3, padding=1)
            for i, pair in enumerate(widths)
        )
        self.norms = nn.ModuleList(get_norm_layer(norm, 2, width) for _, width in widths)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(features[0], out_channels, 1)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Six maps, shallow to deep -> logits (B, out_channels, *size), `size` twice that of the first map."""
        *skips, x = pyramid
        if self.bridge is not None:
            skips = self.bridge(skips)
        for level, norm, skip in zip(self.levels, self.norms, reversed(skips), strict=True):
            x = norm(level(x))
            # The deepest skip has the size of the deepest map already.
            if skip is not skips[-1]:
                x = double_bilinear(x, skip.shape[2:])
            x = self.dropout(self.act(x)) + skip
        return double_bilinear(self.head(x), size)


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
        super().__init__(
            encoder=UltraLightVMUNetEncoder(in_channels, features, branches, act, norm, dropout),
            decoder=UltraLightVMUNetDecoder(out_channels, features, branches, bridge, split_att, act, norm, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=(2, 4, 8, 16, 32, 32),
        )
        _init_as_released(self, skip_mamba=init == "mamba")


def _init_as_released(module: nn.Module, skip_mamba: bool) -> None:
    """Normal weights: linear ones of deviation 0.02, cut at 2, of convolutions sqrt(2 / fan out); biases 0.

    As released, a depthwise 1D convolution counts all its channels in the fan out, and keeps its bias.
    """
    if skip_mamba and isinstance(module, LightsegMamba):
        return
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv1d):
        nn.init.normal_(module.weight, std=math.sqrt(2 / (module.kernel_size[0] * module.out_channels)))
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
    for child in module.children():
        _init_as_released(child, skip_mamba)
