"""The selective scan of Mamba as one function: checks, dtype rules, choice of a back end.

Paper: A. Gu, T. Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752.
Origin: state-spaces/mamba (Apache-2.0), whose `selective_scan_fn` it can stand in for; written anew.
"""

import math
from typing import Literal, overload

import torch
from monai.data.meta_tensor import MetaTensor

from monai_lightseg.ops.dispatch import chosen_backend

__all__ = ["selective_scan"]


@overload
def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = ...,
    z: torch.Tensor | None = ...,
    delta_bias: torch.Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: Literal[False] = ...,
) -> torch.Tensor: ...
@overload
def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = ...,
    z: torch.Tensor | None = ...,
    delta_bias: torch.Tensor | None = ...,
    delta_softplus: bool = ...,
    *,
    return_last_state: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...
@overload
def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None,
    z: torch.Tensor | None,
    delta_bias: torch.Tensor | None,
    delta_softplus: bool,
    return_last_state: Literal[True],
) -> tuple[torch.Tensor, torch.Tensor]: ...
def selective_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Selective scan: per channel and state, s_t = exp(delta_t A) s_{t-1} + delta_t B_t u_t and y_t = sum_N C_t s_t.

    Then D u is added, and the result multiplied by silu(z). float16 and bfloat16 are computed in float32, inside
    autocast too; float64 stays. MetaTensors are taken as plain tensors.

    The states are meant to decay, as in Mamba: exp(delta A) at most 1. Growing ones can overflow before the sequential
    recurrence would. There are no second derivatives, and so no torch.func.grad.

    Args:
        u: input (B, D, L).
        delta: step sizes (B, D, L).
        A: (D, N), real.
        B: (B, N, L); or (B, G, N, L), where D / G neighbouring channels share a group; or (D, N), the same at all
            positions.
        C: as `B`.
        D: (D,), factor of the direct path from `u`; None for no such path.
        z: (B, D, L), gate; None for none.
        delta_bias: (D,), added to `delta`.
        delta_softplus: whether delta is softplus(delta + delta_bias).
        return_last_state: whether to return the last state as well.

    Returns:
        y (B, D, L) in the dtype of `u`; with `return_last_state` also the last state (B, D, N), at least float32.

    Raises:
        ValueError: a complex or integer input, a shape that does not fit, a length of 0, or a forced back end that
            cannot run this input.
    """
    u, delta, A, B, C = (_plain(tensor) for tensor in (u, delta, A, B, C))
    D, z, delta_bias = (None if tensor is None else _plain(tensor) for tensor in (D, z, delta_bias))
    _check(u, delta, A, B, C, D, z, delta_bias)
    B, C = _grouped(u, B, C)
    backend = chosen_backend(u, A, return_last_state)
    y, last_state = backend.run(u, delta, A, B, C, D, z, delta_bias, delta_softplus)
    y = y.to(u.dtype)
    return (y, last_state) if return_last_state else y


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def _check(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None,
    z: torch.Tensor | None,
    delta_bias: torch.Tensor | None,
) -> None:
    given = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "z": z, "delta_bias": delta_bias}
    for name, tensor in given.items():
        if tensor is not None and not tensor.is_floating_point():
            raise ValueError(
                f"{name} must be real and floating point, got {tensor.dtype}: complex forms are not supported"
            )
    if u.ndim != 3 or u.shape[-1] == 0:
        raise ValueError(f"u must have the shape (B, D, L) with L of 1 or more, got {tuple(u.shape)}")
    batch, channels, length = u.shape
    if A.ndim != 2 or A.shape[0] != channels:
        raise ValueError(f"A must have the shape (D, N) with D = {channels} as in u, got {tuple(A.shape)}")
    for name, tensor in (("delta", delta), ("z", z)):
        if tensor is not None and tensor.shape != u.shape:
            raise ValueError(f"{name} must have the shape of u, {tuple(u.shape)}, got {tuple(tensor.shape)}")
    for name, tensor in (("D", D), ("delta_bias", delta_bias)):
        if tensor is not None and tensor.shape != (channels,):
            raise ValueError(f"{name} must have the shape (D,) = ({channels},), got {tuple(tensor.shape)}")
    states = A.shape[1]
    for name, tensor in (("B", B), ("C", C)):
        if not _fits(tensor, batch, channels, states, length):
            raise ValueError(
                f"{name} must have the shape (B, N, L) = {(batch, states, length)}, (B, G, N, L) with D = {channels} a "
                f"multiple of G, or (D, N) = {(channels, states)}, got {tuple(tensor.shape)}"
            )


def _fits(tensor: torch.Tensor, batch: int, channels: int, states: int, length: int) -> bool:
    if tensor.ndim == 2:
        return tensor.shape == (channels, states)
    if tensor.ndim == 4:
        groups = tensor.shape[1]
        return tensor.shape == (batch, groups, states, length) and groups > 0 and channels % groups == 0
    return tensor.shape == (batch, states, length)


def _grouped(u: torch.Tensor, B: torch.Tensor, C: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """B and C as (B, G, N, L) with one G."""
    B, C = _with_groups(B, u), _with_groups(C, u)
    groups = math.lcm(B.shape[1], C.shape[1])
    return _repeat_groups(B, groups), _repeat_groups(C, groups)


def _with_groups(tensor: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    if tensor.ndim == 2:
        # One group per channel, the same at every position of every sequence.
        return tensor[None, :, :, None].expand(u.shape[0], -1, -1, u.shape[2])
    return tensor.unsqueeze(1) if tensor.ndim == 3 else tensor


def _repeat_groups(tensor: torch.Tensor, groups: int) -> torch.Tensor:
    return tensor if tensor.shape[1] == groups else tensor.repeat_interleave(groups // tensor.shape[1], dim=1)
