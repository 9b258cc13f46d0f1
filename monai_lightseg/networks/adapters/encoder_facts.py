"""What a decoder has to know of an encoder that came from elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

__all__ = ["HostEncoder", "first_in_channels"]


@dataclass(frozen=True)
class HostEncoder:
    """An encoder taken out of its host network.

    Attributes:
        module: (B, in_channels, *spatial) -> list of feature maps, shallow to deep; shares its tensors with the host.
        channels: channels per level.
        strides: input size over level size per level, one integer or one per axis.
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the host's logits; None where the host has none.
        base_block: class of the blocks, one map to one map, that `parallelize` replaces; None where unknown.
    """

    module: nn.Module
    channels: Sequence[int]
    strides: Sequence[int | Sequence[int]]
    spatial_dims: int
    in_channels: int
    out_channels: int | None
    base_block: type[nn.Module] | None = None


def first_in_channels(module: nn.Module) -> int:
    """Input channels of the first convolution in `module`."""
    return next(part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d | nn.Conv3d))
