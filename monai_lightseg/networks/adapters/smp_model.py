"""Models of segmentation_models_pytorch."""

from typing import Any

import torch
from torch import nn

from monai_lightseg.networks.adapters.encoder_facts import HostEncoder

__all__ = ["adapt_smp_model"]


class SMPEncoder(nn.Module):
    """An encoder of segmentation_models_pytorch without the levels that hold no learned features.

    The first level is the image itself, and some transformers put an empty map at stride 2.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.model = encoder
        self.kept = [i for i, channels in enumerate(encoder.out_channels) if i > 0 and channels > 0]

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, C, H, W) -> feature maps, shallow to deep."""
        pyramid = self.model(x)
        return [pyramid[i] for i in self.kept]


def adapt_smp_model(network: nn.Module) -> HostEncoder | None:
    """The encoder of `network`, or None if it is no segmentation_models_pytorch model."""
    bases = {(base.__module__.split(".")[0], base.__name__) for base in type(network).__mro__}
    if ("segmentation_models_pytorch", "SegmentationModel") not in bases:
        return None
    encoder: Any = network.encoder
    head: Any = network.segmentation_head
    if not hasattr(head, "__getitem__"):
        raise ValueError(f"{type(network).__name__} has no pyramid of features to decode; take Unet, FPN or the like")
    levels = SMPEncoder(encoder)
    return HostEncoder(
        module=levels,
        channels=[encoder.out_channels[i] for i in levels.kept],
        strides=[min(2**i, encoder.output_stride) for i in levels.kept],
        spatial_dims=2,
        in_channels=encoder.out_channels[0],
        out_channels=head[0].out_channels,
    )
