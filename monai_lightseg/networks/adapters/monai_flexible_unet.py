"""MONAI's FlexibleUNet."""

from monai.networks import eval_mode
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.basic_unet import TwoConv
from torch import nn

from monai_lightseg.networks.adapters.encoder_facts import HostEncoder, first_in_channels

__all__ = ["adapt_monai_flexible_unet"]


def adapt_monai_flexible_unet(network: nn.Module) -> HostEncoder | None:
    """The encoder of `network`, or None if it is no FlexibleUNet."""
    if not isinstance(network, FlexibleUNet):
        return None
    encoder = network.encoder
    in_channels = first_in_channels(encoder)
    like = next(encoder.parameters())
    with eval_mode(encoder):
        # The encoder does not keep its channels; one small forward tells them.
        pyramid = encoder(like.new_zeros((1, in_channels) + (64,) * network.spatial_dims))
    return HostEncoder(
        module=encoder,
        channels=[level.shape[1] for level in pyramid],
        strides=[2 ** (i + 1) for i in range(len(pyramid))],
        spatial_dims=network.spatial_dims,
        in_channels=in_channels,
        out_channels=_last_convolution(network.segmentation_head).out_channels,
        base_block=TwoConv,
    )


def _last_convolution(head: nn.Module) -> nn.Conv2d | nn.Conv3d:
    return [part for part in head.modules() if isinstance(part, nn.Conv2d | nn.Conv3d)][-1]
