"""The `torch` back end: an exact selective scan in ordinary tensor operations, on any device, exportable.

The L positions are cut into chunks of K, K about sqrt(L). One loop over K positions runs all chunks at once from a zero
state, which leaves the state every chunk adds and the factor it multiplies by; doubling over the chunks turns these
into the state at the start of each; a second loop over K positions runs all chunks from there. Every state is the exact
recurrence, in about 2 K + log2(L / K) steps instead of L. Axes are (K, B, G, D, N, chunks): chunks come last so
that each operation runs over contiguous memory.

The backward recomputes the states and keeps none of them, so what training keeps grows with the inputs and not with the
number of states. Nothing here is a matrix product: autocast lowers no part of it.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch.nn import functional

__all__ = ["two_level_scan"]

Tile = tuple[slice, slice, slice]
Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]
Gradients = tuple[torch.Tensor, ...]

# A tile holds up to this many states, or one channel: larger ones ran at half the speed.
TILE_STATES = 2**20
# Positions per chunk, and doublings, of a graph whose length is left open: enough for 2**20 positions. Longer sequences
# would forget what lies further back.
OPEN_CHUNK = 16
OPEN_DOUBLINGS = 16


def two_level_scan(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    D: torch.Tensor | None = None,
    z: torch.Tensor | None = None,
    delta_bias: torch.Tensor | None = None,
    delta_softplus: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The scan of `selective_scan`, on inputs that it has checked.

    Args:
        u: (B, D, L).
        delta: (B, D, L).
        A: (D, N).
        B: (B, G, N, L), D a multiple of G.
        C: (B, G, N, L).
        D: (D,).
        z: (B, D, L).
        delta_bias: (D,).
        delta_softplus: whether softplus follows the bias.

    Returns:
        Output (B, D, L) and last state (B, D, N), float64 if `u` is, float32 otherwise.
    """
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    u, delta, A, B, C = (tensor.to(dtype) for tensor in (u, delta, A, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.to(dtype).unsqueeze(-1)
    if delta_softplus:
        delta = functional.softplus(delta)
    groups = (B.shape[1], -1)
    inputs = (u.unflatten(1, groups), delta.unflatten(1, groups), A.unflatten(0, groups), B, C)
    scan = _TwoLevelScan.apply if torch.is_grad_enabled() else _TwoLevelScan.forward
    y, last = scan(*inputs)
    y = y.flatten(1, 2)
    if D is not None:
        y = y + u * D.to(dtype).unsqueeze(-1)
    if z is not None:
        y = y * functional.silu(z.to(dtype))
    return y, last.flatten(1, 2)


class _TwoLevelScan(torch.autograd.Function):
    """u, delta (B, G, D, L), A (G, D, N), B, C (B, G, N, L) -> y (B, G, D, L), last state (B, G, D, N)."""

    @staticmethod
    def forward(
        u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        tiles = _tiles(u, A)
        if len(tiles) == 1:
            return _forward_tile(u, delta, A, B, C)
        y, last = torch.empty_like(u), u.new_empty((*u.shape[:3], A.shape[-1]))
        for tile in tiles:
            y[tile], last[tile] = _forward_tile(*_tile_of((u, delta, A, B, C), tile))
        return y, last

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[torch.Tensor, ...], output: tuple[torch.Tensor, torch.Tensor]) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad_y: torch.Tensor, grad_last: torch.Tensor) -> Gradients:
        if torch.is_grad_enabled():
            # once_differentiable lets losses that are linear in y pass, with wrong second derivatives.
            raise NotImplementedError("the scan has no second derivatives: call backward without create_graph")
        u, delta, A, B, C = inputs = ctx.saved_tensors
        tiles = _tiles(u, A)
        if len(tiles) == 1:
            return _backward_tile(u, delta, A, B, C, grad_y, grad_last)
        gradients = tuple(torch.zeros_like(tensor) for tensor in inputs)
        for tile in tiles:
            parts = _backward_tile(*_tile_of(inputs, tile), grad_y[tile], grad_last[tile])
            for whole, part in zip(_tile_of(gradients, tile), parts, strict=True):
                whole += part
        return gradients


def _forward_tile(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    length = u.shape[-1]
    if not isinstance(length, int):
        return _forward_open(u, delta, A, B, C)
    chunk = _chunk_size(length)
    u, delta, B, C = (_chunked(tensor, chunk) for tensor in (u, delta, B, C))
    decays, inputs, state = _recurrence(u, delta, A, B)
    rows = []
    for decay, row, c in zip(decays, inputs, C.unsqueeze(-3).unbind(0), strict=True):
        state = torch.addcmul(row, decay, state)
        rows.append((state * c).sum(-2))
    return _unchunked(torch.stack(rows), length), state[..., -1]


def _forward_open(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`_forward_tile` of an open length: in fewer operations and more memory, as an export takes a while for each."""
    length = u.shape[-1]
    u, delta, B, C = (_chunked(tensor, OPEN_CHUNK) for tensor in (u, delta, B, C))
    decays = (delta.unsqueeze(-2) * A.unsqueeze(-1)).exp().unbind(0)
    inputs = ((delta * u).unsqueeze(-2) * B.unsqueeze(-3)).unbind(0)
    end = inputs[0]
    for decay, row in zip(decays[1:], inputs[1:], strict=True):
        # ONNX has no addcmul: it would become three operations.
        end = row + decay * end
    state = _open_starts(_chunk_decay(delta, A), end)
    states = []
    for decay, row in zip(decays, inputs, strict=True):
        state = row + decay * state
        states.append(state)
    return _unchunked((torch.stack(states) * C.unsqueeze(-3)).sum(-2), length), state[..., -1]


def _backward_tile(
    u: torch.Tensor,
    delta: torch.Tensor,
    A: torch.Tensor,
    B: torch.Tensor,
    C: torch.Tensor,
    grad_y: torch.Tensor,
    grad_last: torch.Tensor,
) -> Gradients:
    length = u.shape[-1]
    chunk = _chunk_size(length)
    u, delta, B, C, grad_y = (_chunked(tensor, chunk) for tensor in (u, delta, B, C, grad_y))
    decays, inputs, state = _recurrence(u, delta, A, B)
    kept, reached = [], []
    for decay, row in zip(decays, inputs, strict=True):
        kept.append(decay * state)
        state = kept[-1] + row
        reached.append(state)

    # The gradient of each state is what its output sends plus what the next state sends: the same recurrence backwards.
    of_y = grad_y.unsqueeze(-2).unbind(0)
    sent = [y * c for y, c in zip(of_y, C.unsqueeze(-3).unbind(0), strict=True)]
    sent[-1] = sent[-1] + functional.pad(grad_last.unsqueeze(-1), (u.shape[-1] - 1, 0))
    flow = sent[-1]
    for row, decay in zip(sent[-2::-1], decays[:0:-1], strict=True):
        flow = torch.addcmul(row, decay, flow)
    through = _chunk_decay(delta, A).flip(-1)
    from_next = _starts(through, (decays[0] * flow).flip(-1)).flip(-1)

    drive = delta * u
    per_row = (sent, decays, kept, reached, of_y, B.unsqueeze(-3), drive.unsqueeze(-2), delta.unsqueeze(-2))
    grad_drive, grad_delta, grad_B, grad_C = [], [], [], []
    grad_A, of_A = torch.zeros_like(state), A.unsqueeze(-1)
    for row, decay, old, new, y, b, x, dt in zip(*(tuple(rows)[::-1] for rows in per_row), strict=True):
        grad_state = row + from_next
        from_next = decay * grad_state
        grad_exponent = old * grad_state
        grad_drive.append((grad_state * b).sum(-2))
        grad_delta.append((grad_exponent * of_A).sum(-2))
        grad_B.append((grad_state * x).sum(-3))
        grad_C.append((new * y).sum(-3))
        grad_A = torch.addcmul(grad_A, grad_exponent, dt)
    of_drive, of_delta, of_B, of_C = (torch.stack(rows[::-1]) for rows in (grad_drive, grad_delta, grad_B, grad_C))
    of_u, of_delta = of_drive * delta, torch.addcmul(of_delta, of_drive, u)
    return (
        _unchunked(of_u, length),
        _unchunked(of_delta, length),
        grad_A.sum((0, -1)),
        _unchunked(of_B, length),
        _unchunked(of_C, length),
    )


def _recurrence(
    u: torch.Tensor, delta: torch.Tensor, A: torch.Tensor, B: torch.Tensor
) -> tuple[Sequence[torch.Tensor], Sequence[torch.Tensor], torch.Tensor]:
    """Decays and inputs of every position in a chunk, and the state at the start of each chunk."""
    decays = (delta.unsqueeze(-2) * A.unsqueeze(-1)).exp_().unbind(0)
    inputs = ((delta * u).unsqueeze(-2) * B.unsqueeze(-3)).unbind(0)
    end = inputs[0]
    for decay, row in zip(decays[1:], inputs[1:], strict=True):
        end = torch.addcmul(row, decay, end)
    return decays, inputs, _starts(_chunk_decay(delta, A), end)


def _chunk_decay(delta: torch.Tensor, A: torch.Tensor) -> torch.Tensor:
    """The factor by which a whole chunk multiplies the state before it, (B, G, D, N, chunks)."""
    return (delta.sum(0).unsqueeze(-2) * A.unsqueeze(-1)).exp_()


def _starts(decay: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """State at the start of each chunk, from what each chunk multiplies by and adds; chunks in the last axis."""
    chunks = end.shape[-1]
    shift = 1
    while shift < chunks - 1:
        if shift > 1:
            decay = decay * _shifted(decay, shift // 2)
        end = torch.addcmul(end, decay, _shifted(end, shift))
        shift *= 2
    return functional.pad(end[..., :-1], (1, 0))


def _shifted(tensor: torch.Tensor, shift: int) -> torch.Tensor:
    """Every chunk's value moved `shift` chunks on."""
    return functional.pad(tensor[..., :-shift], (shift, 0))


def _open_starts(decay: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """`_starts` of an open number of chunks, the first of them empty: from there comes what comes from nowhere."""
    source = (torch.arange(end.shape[-1], device=end.device) - 1).clamp(min=0)
    for doubling in range(OPEN_DOUBLINGS):
        if doubling:
            decay = decay * decay.index_select(-1, source)
            source = source.index_select(0, source)
        end = end + decay * end.index_select(-1, source)
    return functional.pad(end[..., :-1], (1, 0))


def _chunk_size(length: int) -> int:
    return max(1, round(length**0.5))


def _chunked(tensor: torch.Tensor, chunk: int) -> torch.Tensor:
    """(..., L) -> (chunk, ..., chunks), filled up with zeros: where delta is 0 the state stays as it is."""
    rows = _padded(tensor, *_margins(tensor.shape[-1], chunk)).unfold(-1, chunk, chunk)
    if torch.compiler.is_dynamo_compiling():
        # Inductor folds a transposing copy into each of its readers, which then load with strides; it keeps a stack.
        return torch.stack(rows.unbind(-1))
    return rows.movedim(-1, 0).contiguous()


def _unchunked(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """(chunk, ..., chunks) -> (..., length), the filling cropped."""
    before, after = _margins(length, tensor.shape[0])
    # Cropped by negative padding: a slice of an open length would be exported with a guard on it.
    return _padded(tensor.movedim(0, -1).flatten(-2), -before, -after)


def _padded(tensor: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Zeros added at the ends of the last axis; without a copy where there is nothing to add."""
    if isinstance(before, int) and isinstance(after, int) and before == after == 0:
        return tensor
    return functional.pad(tensor, (before, after))


def _margins(length: int, chunk: int) -> tuple[int, int]:
    """Zeros in front of a sequence and behind it that make whole chunks of it."""
    if isinstance(length, int):
        return 0, -length % chunk
    # An open length gets one empty chunk in front, which `_open_starts` needs, and chunks to spare behind: the export
    # would fix an axis that might have the size 1.
    return chunk, (length // chunk + 2) * chunk - length


def _tiles(u: torch.Tensor, A: torch.Tensor) -> list[Tile]:
    """Slices of batch, groups and channels of up to TILE_STATES states, or of one channel; a graph gets one tile."""
    if torch.compiler.is_compiling():
        return [(slice(None), slice(None), slice(None))]
    states = A.shape[-1] * u.shape[-1]
    cuts: list[list[slice]] = []
    for size in (u.shape[2], u.shape[1], u.shape[0]):
        step = max(1, min(size, TILE_STATES // max(1, states)))
        cuts.append([slice(start, start + step) for start in range(0, size, step)])
        states *= size
    channels, groups, batch = cuts
    return list(product(batch, groups, channels))


def _tile_of(tensors: Sequence[torch.Tensor], tile: Tile) -> Inputs:
    """The part of u, delta, A, B and C (or of their gradients) that belongs to a tile."""
    u, delta, A, B, C = tensors
    return u[tile], delta[tile], A[tile[1:]], B[tile[:2]], C[tile[:2]]
