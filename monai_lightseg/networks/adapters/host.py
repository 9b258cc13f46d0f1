"""Finds the adapter for a network."""

from torch import nn

from monai_lightseg.networks.adapters.encoder_facts import HostEncoder
from monai_lightseg.networks.adapters.monai_basic_unet import adapt_monai_basic_unet
from monai_lightseg.networks.adapters.monai_flexible_unet import adapt_monai_flexible_unet
from monai_lightseg.networks.adapters.nnunet_unet import adapt_nnunet_unet
from monai_lightseg.networks.adapters.smp_model import adapt_smp_model
from monai_lightseg.networks.adapters.timm_features import adapt_timm_features

__all__ = ["HostEncoder", "host_encoder"]

_ADAPTERS = (
    adapt_nnunet_unet,
    adapt_monai_basic_unet,
    adapt_monai_flexible_unet,
    adapt_smp_model,
    adapt_timm_features,
)


def host_encoder(network: nn.Module) -> HostEncoder:
    """The encoder of `network`, sharing its tensors.

    Raises:
        ValueError: no adapter knows the network.
    """
    for adapt in _ADAPTERS:
        encoder = adapt(network)
        if encoder is not None:
            return encoder
    raise ValueError(
        f"no adapter for {type(network).__module__}.{type(network).__qualname__}. Supported: networks of "
        "monai_lightseg (UNetLike), nnU-Net's PlainConvUNet and ResidualEncoderUNet, MONAI's BasicUNet and "
        "FlexibleUNet, models of segmentation_models_pytorch, timm models made with features_only=True. For any "
        "other encoder build NmODEDecoder yourself"
    )
