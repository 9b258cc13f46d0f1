"""MONAI's BasicUNet."""

from typing import Any

import torch
from monai.networks.nets import BasicUNet
from monai.networks.nets.basic_unet import TwoConv
from torch import nn

from monai_lightseg.networks.adapters.encoder_facts import HostEncoder, first_in_channels

__all__ = ["adapt_monai_basic_unet"]


class BasicUNetEncoder(nn.Module):
    """The contracting path of a BasicUNet, under its own parameter names."""

    def __init__(self, network: BasicUNet) -> None:
        super().__init__()
        self.conv_0 = network.conv_0
        self.down_1 = network.down_1
        self.down_2 = network.down_2
        self.down_3 = network.down_3
        self.down_4 = network.down_4

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, *spatial) -> five maps, strides 1 to 16."""
        pyramid = [self.conv_0(x)]
        for down in (self.down_1, self.down_2, self.down_3, self.down_4):
            pyramid.append(down(pyramid[-1]))
        return pyramid


def adapt_monai_basic_unet(network: nn.Module) -> HostEncoder | None:
    """The encoder of `network`, or None if it is no BasicUNet."""
    if not isinstance(network, BasicUNet):
        return None
    encoder = BasicUNetEncoder(network)
    downs: list[Any] = [encoder.down_1, encoder.down_2, encoder.down_3, encoder.down_4]
    levels: list[Any] = [encoder.conv_0, *(down.convs for down in downs)]
    return HostEncoder(
        module=encoder,
        channels=[level.conv_1.conv.out_channels for level in levels],
        strides=[1, 2, 4, 8, 16],
        spatial_dims=3 if isinstance(network.final_conv, nn.Conv3d) else 2,
        in_channels=first_in_channels(encoder),
        out_channels=network.final_conv.out_channels,
        base_block=TwoConv,
    )
