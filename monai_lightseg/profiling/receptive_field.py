"""Which pixels of an image a logit depends on, and how far away they are.

Paper: W. Luo et al., "Understanding the Effective Receptive Field in Deep Convolutional Neural Networks", NeurIPS 2016,
arXiv 1701.04128, which averages such maps over random images; here a map is of one image and one pixel.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from monai_lightseg.networks.blocks.ode import LightsegODEBlock

__all__ = ["effective_receptive_field", "receptive_radius"]


def effective_receptive_field(
    network: nn.Module, image: torch.Tensor, pixels: Sequence[tuple[int, int]], *, channel: int = 0
) -> torch.Tensor:
    """How strongly the logit at each given pixel depends on each pixel of the image.

    That is the absolute gradient of the logit, summed over the channels of the image: one forward, one backward per
    pixel. ODE blocks are differentiated step by step, whatever their solver says, because the adjoint equation can miss
    the gradient of a single logit by half of it. So adaptive steps keep every evaluation in memory.

    Args:
        network: 2D; runs in eval mode on the device of the image, left as it was.
        image: (1, C, H, W).
        pixels: (row, column) of logits; those of the image, where the logits have its size.
        channel: of the logits.

    Returns:
        (len(pixels), H, W).

    Raises:
        ValueError: another shape of the image, a pixel outside the logits, or a channel that they do not have.
    """
    if image.ndim != 4 or image.shape[0] != 1:
        raise ValueError(f"image must have the shape (1, C, H, W), got {tuple(image.shape)}")
    with torch.inference_mode(False), torch.enable_grad(), _ready_to_differentiate(network):
        # Plain: a MetaTensor would carry its metadata through every operation.
        x = image.detach().as_subclass(torch.Tensor).clone().requires_grad_()
        logits = network(x)
        channels, height, width = logits.shape[1:]
        if not 0 <= channel < channels:
            raise ValueError(f"channel must be from 0 to {channels - 1}, got {channel}")
        for row, column in pixels:
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(f"pixel {(row, column)} lies outside the logits of {height}x{width}")
        fields = x.new_empty(len(pixels), *x.shape[2:])
        for i, (row, column) in enumerate(pixels):
            (gradient,) = torch.autograd.grad(logits[0, channel, row, column], x, retain_graph=True)
            fields[i] = gradient[0].abs().sum(dim=0)
    return fields


@contextmanager
def _ready_to_differentiate(network: nn.Module) -> Iterator[None]:
    """Every module in eval mode and no adjoint equation, and all as it was afterwards."""
    modes = {module: module.training for module in network.modules()}
    solvers = {module: module.solver for module in network.modules() if isinstance(module, LightsegODEBlock)}
    try:
        network.eval()
        for block, solver in solvers.items():
            block.solver = replace(solver, adjoint=False)
        yield
    finally:
        for block, solver in solvers.items():
            block.solver = solver
        for module, mode in modes.items():
            module.training = mode


def receptive_radius(
    field: torch.Tensor, pixel: torch.Tensor | Sequence[int] | Sequence[Sequence[int]], share: float = 0.9
) -> torch.Tensor:
    """Smallest r such that the pixels at most r away from the given one hold `share` of the sum of the field.

    Distances are Euclidean, from centre to centre, in pixels; the pixel itself is 0 away.

    Args:
        field: (*, H, W), not negative, such as `effective_receptive_field` gives.
        pixel: (row, column) for each field, (*, 2).
        share: above 0, at most 1.

    Returns:
        (*), float64; NaN where the sum is 0, as that of a logit behind dead units, or not finite.

    Raises:
        ValueError: a share out of range, not one pixel for each field, or a pixel outside.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, got {share}")
    centre = torch.as_tensor(pixel, device=field.device)
    size = torch.tensor(field.shape[-2:], device=field.device)
    if field.ndim < 2 or centre.shape != (*field.shape[:-2], 2):
        raise ValueError(f"fields of shape {tuple(field.shape)} need one pixel each, got {tuple(centre.shape)}")
    if not ((centre >= 0) & (centre < size)).all():
        raise ValueError(f"pixel {centre.tolist()} lies outside the field of {size[0]}x{size[1]}")
    places = torch.cartesian_prod(*(torch.arange(side, device=field.device) for side in size.tolist()))
    # Whole numbers, so that equal distances are equal.
    squares, order = (places - centre[..., None, :]).square().sum(dim=-1).sort(dim=-1)
    mass = field.flatten(-2).double().gather(-1, order).cumsum(dim=-1)
    total = mass[..., -1:]
    last = torch.searchsorted(mass, share * total).clamp(max=mass.shape[-1] - 1)
    radius = squares.gather(-1, last).double().sqrt()
    return radius.where((total > 0) & total.isfinite(), torch.nan)[..., 0]
