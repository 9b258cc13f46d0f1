"""Why weights do not fit a network, in lines that stay readable when everything is wrong."""

from collections.abc import Iterable, Mapping, Sequence

import torch

__all__ = ["list_misfits"]

_KEYS_SHOWN = 10


def list_misfits(
    unmatched: Iterable[str], weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> list[str]:
    """List what keeps `weights` from loading, one line per kind of problem; empty if nothing does.

    Args:
        unmatched: given keys that fit nothing.
        weights: the given weights under keys of the network.
        expected: the network's state dict.
    """
    missing = [key for key in expected if key not in weights]
    wrong_shape = [
        f"{key} has {tuple(tensor.shape)}, the network {tuple(expected[key].shape)}"
        for key, tensor in weights.items()
        if tensor.shape != expected[key].shape
    ]
    wrong_kind = [
        f"{key} holds {tensor.dtype}, the network {expected[key].dtype}"
        for key, tensor in weights.items()
        if _kind(tensor) != _kind(expected[key])
    ]
    return [
        *_line("keys of the given weights that fit nothing", list(unmatched)),
        *_line("keys of the network that nothing fills", missing),
        *_line("shapes that differ", wrong_shape, "; "),
        *_line("kinds of numbers that differ", wrong_kind, "; "),
    ]


def _kind(tensor: torch.Tensor) -> str:
    """Loading converts within a kind; between kinds it would round or cut what the numbers mean."""
    if tensor.is_complex():
        return "complex"
    return "floating" if tensor.is_floating_point() else "integer"


def _line(title: str, items: Sequence[str], separator: str = ", ") -> list[str]:
    if not items:
        return []
    rest = len(items) - _KEYS_SHOWN
    more = f" and {rest} more" if rest > 0 else ""
    return [f"{title}: {separator.join(items[:_KEYS_SHOWN])}{more}"]
