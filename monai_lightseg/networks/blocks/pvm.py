"""The parallel vision Mamba (PVM) layer.

Paper: R. Wu et al., "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters for Skin Lesion
Segmentation", 2024, arXiv 2403.20035.
Origin: wurenkai/UltraLight-VM-UNet@d7648e4ece53 (MIT), which has four branches; written anew.
"""

import torch
from torch import nn

from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.parallel import in_branches

__all__ = ["LightsegPVM"]


class LightsegPVM(nn.Module):
    """Norm, one shared Mamba on `branches` channel chunks with a scaled residual, the same norm again, projection.

    The pixels in row-major order are the tokens; all branches go through Mamba as one batch.
    (B, in_channels, *spatial) -> (B, out_channels, *spatial).

    Args:
        in_channels: channels of the input, a multiple of `branches`.
        out_channels: channels of the output.
        branches: channel chunks; the Mamba has the width in_channels / branches.
        d_state: states per inner channel of the Mamba.
        d_conv: taps of its causal convolution.
        expand: its inner channels per channel.

    Raises:
        ValueError: `in_channels` is no multiple of `branches`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        branches: int = 4,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
    ) -> None:
        super().__init__()
        if branches < 1 or in_channels % branches:
            raise ValueError(f"in_channels must be a multiple of branches, got {in_channels} and {branches}")
        self.branches = branches
        self.norm = nn.LayerNorm(in_channels)
        self.mamba = LightsegMamba(in_channels // branches, d_state, d_conv, expand)
        self.skip_scale = nn.Parameter(torch.ones(1))
        self.proj = nn.Linear(in_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *spatial) -> (B, out_channels, *spatial)."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        tokens = in_branches(self.mamba, tokens, self.branches) + self.skip_scale * tokens
        tokens = self.proj(self.norm(tokens))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])
