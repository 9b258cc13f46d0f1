"""PlainConvUNet and ResidualEncoderUNet of dynamic_network_architectures, the networks nnU-Net plans."""

from itertools import accumulate
from typing import Any

from torch import nn

from monai_lightseg.networks.adapters.encoder_facts import HostEncoder, first_in_channels

__all__ = ["adapt_nnunet_unet"]


def adapt_nnunet_unet(network: nn.Module) -> HostEncoder | None:
    """The encoder of `network`, or None if it is not one of nnU-Net's two U-Nets."""
    if type(network).__name__ not in ("PlainConvUNet", "ResidualEncoderUNet") or not type(
        network
    ).__module__.startswith("dynamic_network_architectures"):
        return None
    encoder: Any = network.encoder
    decoder: Any = network.decoder
    strides = accumulate(encoder.strides, lambda total, stride: [a * b for a, b in zip(total, stride, strict=True)])
    return HostEncoder(
        module=encoder,
        channels=list(encoder.output_channels),
        strides=list(strides),
        spatial_dims=3 if encoder.conv_op is nn.Conv3d else 2,
        in_channels=first_in_channels(encoder),
        out_channels=decoder.num_classes,
        base_block=_base_block(encoder),
    )


def _base_block(encoder: Any) -> type[nn.Module]:
    """The class of a stage's blocks: stacked convolutions, or stacked residual blocks."""
    stage = encoder.stages[-1]
    # A plain stage is a Sequential, for the pooling that may stand in front.
    return type(stage[-1] if isinstance(stage, nn.Sequential) else stage)
