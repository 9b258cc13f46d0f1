"""One sequence module run on channel chunks in parallel, with shared weights: the "PM layer" form.

Paper: R. Wu et al., "UltraLight VM-UNet: Parallel Vision Mamba Significantly Reduces Parameters for Skin Lesion
Segmentation", 2024, arXiv 2403.20035.
"""

import torch
from torch import nn

__all__ = ["LightsegParallel", "in_branches", "merge_branches", "split_branches"]


def split_branches(tokens: torch.Tensor, branches: int) -> torch.Tensor:
    """(B, ..., C) -> (B * branches, ..., C / branches): equal chunks of neighbouring channels, stacked in the batch."""
    batch, channels = tokens.shape[0], tokens.shape[-1]
    chunks = tokens.movedim(-1, 1).reshape(batch * branches, channels // branches, *tokens.shape[1:-1])
    return chunks.movedim(1, -1)


def merge_branches(tokens: torch.Tensor, branches: int) -> torch.Tensor:
    """(B * branches, ..., C / branches) -> (B, ..., C): the inverse of `split_branches`."""
    batch, channels = tokens.shape[0], tokens.shape[-1]
    whole = tokens.movedim(-1, 1).reshape(batch // branches, channels * branches, *tokens.shape[1:-1])
    return whole.movedim(1, -1)


def in_branches(module: nn.Module, tokens: torch.Tensor, branches: int) -> torch.Tensor:
    """`module` on each of `branches` channel chunks of (B, ..., C), in one call of batch B * branches."""
    return merge_branches(module(split_branches(tokens, branches)), branches)


class LightsegParallel(nn.Module):
    """`module` on each of `branches` channel chunks, weights shared, in one call; (B, ..., C) -> (B, ..., C).

    The chunks go through as one batch of B * branches. A module that draws random numbers draws them per chunk, and one
    that takes statistics over the batch takes them over the chunks too.

    Args:
        module: (B, ..., C / branches) -> the same shape.
        branches: number of chunks; the number of channels must be a multiple of it.
    """

    def __init__(self, module: nn.Module, branches: int = 4) -> None:
        super().__init__()
        self.module = module
        self.branches = branches

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, ..., C) -> (B, ..., C).

        Raises:
            ValueError: C is no multiple of `branches`.
        """
        if tokens.shape[-1] % self.branches:
            raise ValueError(f"{tokens.shape[-1]} channels do not split into {self.branches} equal branches")
        return in_branches(self.module, tokens, self.branches)
