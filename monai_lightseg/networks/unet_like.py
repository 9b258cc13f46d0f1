"""The contract every U-like network keeps: an image becomes a pyramid, a pyramid becomes logits."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from monai.data.meta_tensor import MetaTensor
from torch import nn
from torch.nn import functional

__all__ = ["UNetLike", "per_axis"]


def per_axis(stride: int | Sequence[int], spatial_dims: int) -> tuple[int, ...]:
    """A stride as one integer per spatial axis."""
    return (stride,) * spatial_dims if isinstance(stride, int) else tuple(int(value) for value in stride)


class UNetLike(nn.Module):
    """Encoder, decoder, and input of any size.

    `forward` is `decode(encode(x), size)` on an input padded (by repeating its border) to `size_multiple`, cropped
    back. At multiples nothing is padded. Subclasses with more than an encoder and a decoder override `encode` and
    `decode`.

    Args:
        encoder: module (B, in_channels, *spatial) -> list of feature maps, shallow to deep.
        decoder: module (pyramid, size) -> logits (B, out_channels, *size); with deep supervision, in training, a list:
            these first, then auxiliary logits at the sizes of levels, finest first.
        spatial_dims: 2 or 3.
        in_channels: channels of the input.
        out_channels: channels of the logits.
        encoder_channels: channels of each pyramid level, shallow to deep.
        encoder_strides: input size over level size, one integer or one per axis for each level.
    """

    # What `parallelize` replaces by parallel vision Mamba layers.
    base_block: ClassVar[type[nn.Module] | None] = None
    # Weights of the losses of the auxiliary logits, finest first, as the paper trains; empty where there are none.
    auxiliary_weights: ClassVar[tuple[float, ...]] = ()

    def __init__(
        self,
        *,
        encoder: nn.Module,
        decoder: nn.Module,
        spatial_dims: int,
        in_channels: int,
        out_channels: int,
        encoder_channels: Sequence[int],
        encoder_strides: Sequence[int | Sequence[int]],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.encoder_channels = tuple(encoder_channels)
        self.encoder_strides = tuple(per_axis(stride, spatial_dims) for stride in encoder_strides)
        self.size_multiple = tuple(max(axis) for axis in zip(*self.encoder_strides, strict=True))
        self.min_bottleneck_pixels = 2 if any(_normalises_each_channel(module) for module in self.modules()) else 1

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Image (B, in_channels, *spatial), sides multiples of `size_multiple` -> pyramid, shallow to deep."""
        return list(self.encoder(x))

    def decode(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor | list[torch.Tensor]:
        """Pyramid, shallow to deep -> what the decoder makes of it: logits (B, out_channels, *size), or a list."""
        return self.decoder(pyramid, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """Image (B, in_channels, *spatial) of any size -> logits (B, out_channels, *spatial); MetaTensor to MetaTensor.

        With deep supervision, in training: a list of these and of auxiliary logits, finest first, each with the sides
        of the image divided by its stride, rounded up; auxiliary logits are plain tensors.

        Raises:
            ValueError: wrong number of axes or channels, or a training batch with one value per channel.
        """
        self._check_input(x)
        if isinstance(x, MetaTensor):
            # Plain inside: a MetaTensor would carry its metadata through every operation.
            outputs = self.forward(x.as_tensor())
            if isinstance(outputs, list):
                return [MetaTensor(outputs[0]).copy_meta_from(x), *outputs[1:]]
            return MetaTensor(outputs).copy_meta_from(x)
        padded = self._pad(x)
        outputs = self.decode(self.encode(padded), padded.shape[2:])
        if padded is x:
            return outputs
        if isinstance(outputs, list):
            return [_crop_to_image(logits, x.shape[2:], padded.shape[2:]) for logits in outputs]
        return _pad_ends(outputs, x.shape[2:], mode="constant")

    def _check_input(self, x: torch.Tensor) -> None:
        if x.ndim != self.spatial_dims + 2 or x.shape[1] != self.in_channels:
            axes = ", ".join("DHW"[-self.spatial_dims :])
            raise ValueError(
                f"{type(self).__name__} expects an input of shape (B, {self.in_channels}, {axes}), got {tuple(x.shape)}"
            )
        if self.training:
            sides = zip(x.shape[2:], self.size_multiple, strict=True)
            values = x.shape[0] * math.prod([-(-side // multiple) for side, multiple in sides])
            if values < 2:
                raise ValueError(
                    f"training needs more than one value per channel at the bottleneck: input {tuple(x.shape)} leaves "
                    f"one. Use a batch of two or more, or sides above {self.size_multiple}, or network.eval()"
                )

    def _pad(self, x: torch.Tensor) -> torch.Tensor:
        missing = [-side % multiple for side, multiple in zip(x.shape[2:], self.size_multiple, strict=True)]
        if self.min_bottleneck_pixels > 1:
            sides = zip(x.shape[2:], missing, self.size_multiple, strict=True)
            pixels = math.prod([(side + add) // multiple for side, add, multiple in sides])
            # One more bottleneck pixel where there is a single one; the quotient, 1 or 0, is a branch that exports.
            # (Not 1 // pixels: onnxruntime 1.31 takes that and the product for a division of real numbers.)
            missing[-1] += self.size_multiple[-1] * (2 // (1 + pixels))
        # Dynamic sides of an export are no int; a branch on their padding would fix them to multiples, or to none.
        if all(isinstance(add, int) and add == 0 for add in missing):
            return x
        return _pad_ends(x, [side + add for side, add in zip(x.shape[2:], missing, strict=True)], mode="replicate")


def _normalises_each_channel(module: nn.Module) -> bool:
    """Whether a norm takes its statistics over the pixels of one channel, in eval too, so that one pixel has none."""
    if isinstance(module, nn.GroupNorm):
        return module.num_groups == module.num_channels
    return isinstance(module, nn.modules.instancenorm._InstanceNorm)


def _crop_to_image(logits: torch.Tensor, size: Sequence[int], padded_size: Sequence[int]) -> torch.Tensor:
    """The part of logits at any stride of an image padded to `padded_size` that shows the image itself."""
    sides = zip(size, logits.shape[2:], padded_size, strict=True)
    return _pad_ends(logits, [-(-side * of_logits // padded) for side, of_logits, padded in sides], mode="constant")


def _pad_ends(x: torch.Tensor, size: Sequence[int], mode: str) -> torch.Tensor:
    """(B, C, *) -> (B, C, *size), at the end of each axis; crops where `size` is smaller.

    A crop by slices would export with a guard that refuses either multiples or all other sides.
    """
    # functional.pad counts from the last axis backwards.
    widths = [width for axis in reversed(range(len(size))) for width in (0, size[axis] - x.shape[axis + 2])]
    return functional.pad(x, widths, mode=mode)
