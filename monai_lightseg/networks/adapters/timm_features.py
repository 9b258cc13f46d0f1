"""timm models made with features_only=True."""

from typing import Any

import torch
from torch import nn

from monai_lightseg.networks.adapters.encoder_facts import HostEncoder, first_in_channels

__all__ = ["adapt_timm_features"]


class TimmEncoder(nn.Module):
    """A timm feature extractor whose maps are channels first, whatever its own layout."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.channels_last = str(getattr(model, "output_fmt", "")).endswith("NHWC")

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, H, W) -> feature maps, shallow to deep."""
        pyramid = self.model(x)
        return [level.permute(0, 3, 1, 2) for level in pyramid] if self.channels_last else list(pyramid)


def adapt_timm_features(network: nn.Module) -> HostEncoder | None:
    """`network` as an encoder, or None if it is no timm feature extractor."""
    if not any(base.__module__.split(".")[0] == "timm" for base in type(network).__mro__):
        return None
    info: Any = getattr(network, "feature_info", None)
    if not hasattr(info, "reduction"):
        raise ValueError("a timm model needs features_only=True: timm.create_model(name, features_only=True)")
    return HostEncoder(
        module=TimmEncoder(network),
        channels=info.channels(),
        strides=info.reduction(),
        spatial_dims=2,
        in_channels=first_in_channels(network),
        out_channels=None,
    )
