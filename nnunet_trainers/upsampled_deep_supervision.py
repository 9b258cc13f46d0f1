"""Deep supervision at full size: the auxiliary logits grow to the target, where nnU-Net's own shrinks the target."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

__all__ = ["UpsampledDeepSupervisionLoss"]


class UpsampledDeepSupervisionLoss(nn.Module):
    """The loss of the main logits plus the weighted losses of the auxiliary ones, upsampled (bilinear) to their size.

    Where the sides are no multiples of an auxiliary output's stride, its last pixel shows less of the image than the
    others and is stretched like them.

    Args:
        loss: nnU-Net's loss of logits (B, C, H, W) and target.
        weights: one for each auxiliary output, in the order of the network's list: finest first.
    """

    def __init__(self, loss: nn.Module, weights: Sequence[float]) -> None:
        super().__init__()
        self.loss = loss
        self.weights = tuple(weights)

    def forward(self, output: torch.Tensor | list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """What the network returns, in eval logits and in training a list (main first), and one target -> scalar.

        Raises:
            ValueError: not as many auxiliary outputs as weights.
        """
        if isinstance(output, torch.Tensor):
            return self.loss(output, target)
        main, *auxiliary = output
        if len(auxiliary) != len(self.weights):
            raise ValueError(f"{len(auxiliary)} auxiliary outputs and {len(self.weights)} weights: give one for each")
        total = self.loss(main, target)
        for weight, logits in zip(self.weights, auxiliary, strict=True):
            upsampled = functional.interpolate(logits, main.shape[2:], mode="bilinear", align_corners=True)
            total = total + weight * self.loss(upsampled, target)
        return total
