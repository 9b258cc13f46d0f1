"""The definition of the selective scan, one position after the other, and inputs for it."""

import torch
from torch.nn import functional


def sequential_scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """Output (B, D, L) and last state (B, D, N) of the recurrence as it is written down."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    B, C = (per_channel(tensor, u) for tensor in (B, C))
    state = u.new_zeros(*u.shape[:2], A.shape[1])
    outputs = []
    for u_t, delta_t, b_t, c_t in zip(u.unbind(2), delta.unbind(2), B.unbind(3), C.unbind(3), strict=True):
        state = torch.exp(delta_t[..., None] * A) * state + delta_t[..., None] * b_t * u_t[..., None]
        outputs.append((state * c_t).sum(-1))
    y = torch.stack(outputs, dim=2)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * functional.silu(z)
    return y, state


def per_channel(tensor, u):
    """B or C in any of its forms -> (B, D, N, L)."""
    if tensor.ndim == 2:
        return tensor[None, :, :, None].expand(u.shape[0], -1, -1, u.shape[2])
    if tensor.ndim == 3:
        tensor = tensor[:, None]
    return tensor.repeat_interleave(u.shape[1] // tensor.shape[1], dim=1)


def scan_inputs(batch, channels, length, states=16, groups=None, seed=0, dtype=torch.float64):
    """Values of the size they have in a Mamba block; B and C are (B, N, L) without `groups`."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    of_states = (batch, states, length) if groups is None else (batch, groups, states, length)
    inputs = {
        "u": normal(batch, channels, length),
        "delta": 0.5 * normal(batch, channels, length) - 1,
        "A": -torch.exp(torch.arange(1.0, states + 1, dtype=torch.float64).log() + 0.05 * normal(channels, states)),
        "B": normal(*of_states),
        "C": normal(*of_states),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": 0.3 * normal(channels),
    }
    return {name: tensor.to(dtype) for name, tensor in inputs.items()}


def with_gradients(scan, inputs):
    """Output, last state, and the gradients of a loss over both, by input name."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in inputs.items()}
    y, last = scan(**leaves, delta_softplus=True)
    (y.square().mean() + last.square().mean()).backward()
    return {"y": y.detach(), "last": last.detach()}, {name: leaf.grad for name, leaf in leaves.items()}


def relative_error(actual, expected):
    """Largest difference over the largest expected value."""
    assert actual.shape == expected.shape
    return ((actual.double() - expected).abs().max() / expected.abs().max().clamp(min=1e-30)).item()
