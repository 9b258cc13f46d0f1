"""Selective scans to measure ours against, written anew; arguments and results as `monai_lightseg.ops.selective_scan`.

They take real A, and B and C of the shape (B, N, L). Each computes in the layout that is fastest for it.
"""

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch._higher_order_ops.associative_scan import associative_scan as torch_associative_scan
from torch.nn import functional

from monai_lightseg.ops import ScanBackend

HAS_MAMBAPY = find_spec("mambapy") is not None
if HAS_MAMBAPY:
    from mambapy.pscan import pscan

Scan = Callable[..., torch.Tensor | tuple[torch.Tensor, torch.Tensor]]
# (u, delta, A, B, C), delta as it enters the recurrence -> y (B, D, L) without D and z, last state (B, D, N)
Recurrence = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def loop_recurrence(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """One Python step per position, by indexing, as mamba-ssm's own reference function goes."""
    decays, inputs = _discretised(u, delta, A, B)
    state = torch.zeros_like(inputs[:, :, 0])
    rows = []
    for i in range(u.shape[-1]):
        state = decays[:, :, i] * state + inputs[:, :, i]
        rows.append(torch.einsum("bdn,bn->bd", state, C[:, :, i]))
    return torch.stack(rows, dim=2), state


def unbound_loop_recurrence(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loop at its best: unbound once, so that the backward is linear in the length, and one product with C."""
    decays, inputs = (tensor.unbind(2) for tensor in _discretised(u, delta, A, B))
    states = [inputs[0]]
    for decay, row in zip(decays[1:], inputs[1:], strict=True):
        states.append(torch.addcmul(row, decay, states[-1]))
    return torch.einsum("bdln,bnl->bdl", torch.stack(states, dim=2), C), states[-1]


def pscan_recurrence(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The parallel scan of the package mambapy, on (B, L, D, N) as its own Mamba block uses it."""
    u, delta, B, C = (tensor.transpose(1, 2).contiguous() for tensor in (u, delta, B, C))
    delta = delta.unsqueeze(-1)
    states = pscan(torch.exp(delta * A), delta * B.unsqueeze(2) * u.unsqueeze(-1))
    return (states @ C.unsqueeze(-1)).squeeze(-1).transpose(1, 2), states[:, -1]


def associative_recurrence(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The associative scan of torch on pairs (decay, input), positions first: (L, B, D, N)."""
    u, delta, B, C = (tensor.permute(2, 0, 1).contiguous() for tensor in (u, delta, B, C))
    pairs = torch.exp(delta.unsqueeze(-1) * A), (delta * u).unsqueeze(-1) * B.unsqueeze(2)
    _, states = torch_associative_scan(_after, pairs, dim=0, combine_mode="generic")
    return (states * C.unsqueeze(2)).sum(-1).permute(1, 2, 0), states[-1]


def _after(
    earlier: tuple[torch.Tensor, torch.Tensor], later: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The step s -> a s + b that two such steps (a, b) make one after the other."""
    return earlier[0] * later[0], later[0] * earlier[1] + later[1]


def _discretised(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decays and inputs of all positions, (B, D, L, N)."""
    return torch.exp(torch.einsum("bdl,dn->bdln", delta, A)), torch.einsum("bdl,bnl,bdl->bdln", delta, B, u)


def scan_of(recurrence: Recurrence) -> Scan:
    """The selective scan around a recurrence: bias and softplus before it, D and the gate z after it."""

    def scan(
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
        if delta_bias is not None:
            delta = delta + delta_bias.unsqueeze(-1)
        if delta_softplus:
            delta = functional.softplus(delta)
        y, last_state = recurrence(u, delta, A, B, C)
        if D is not None:
            y = y + u * D.unsqueeze(-1)
        if z is not None:
            y = y * functional.silu(z)
        return (y, last_state) if return_last_state else y

    return scan


def backend_of(name: str, scan: Scan) -> ScanBackend:
    """A back end that a network can be forced to with `scan_backend`; one group of B and C."""

    def run(
        u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor, *rest: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return scan(u, delta, A, B.squeeze(1), C.squeeze(1), *rest, return_last_state=True)

    return ScanBackend(name, run)


loop_scan = scan_of(loop_recurrence)
unbound_loop_scan = scan_of(unbound_loop_recurrence)
pscan_scan = scan_of(pscan_recurrence)
associative_scan = scan_of(associative_recurrence)

LOOP = backend_of("reference loop", loop_scan)
PSCAN = backend_of("mambapy pscan", pscan_scan)
