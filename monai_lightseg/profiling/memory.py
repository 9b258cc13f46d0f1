"""Memory that a forward takes for what it computes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from weakref import WeakSet

import torch
from monai.networks import eval_mode
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["peak_activation_bytes"]


def peak_activation_bytes(network: nn.Module, input_size: Sequence[int] = (1, 3, 256, 256)) -> int:
    """Most bytes alive at once in tensors that one forward without gradients makes.

    The output counts; parameters, buffers, constants and the input do not. Views share their memory and count once,
    operations in place add nothing.

    Not seen: what a kernel allocates inside and frees before it returns (scratch of oneDNN, the columns of an unfolded
    convolution, the states of a fused scan), what an allocator rounds up, and tensors that are not the result of a
    torch operation (`torch.tensor`, `torch.from_numpy`).

    Args:
        network: runs in eval mode on its device, left as it was.
        input_size: (B, C, *spatial).
    """
    like = next(network.parameters())
    # Under no_grad operations reach the mode as their parts; inference mode would hide what `einsum` makes inside.
    with torch.inference_mode(False), torch.no_grad(), eval_mode(network):
        x = torch.zeros(tuple(input_size), device=like.device, dtype=like.dtype)
        with _LiveTensors() as live:
            network(x)
    return live.peak


class _LiveTensors(TorchDispatchMode):
    """Follows the memory of all results of operations until it is freed; `peak` is the most there was, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._made: WeakSet[torch.UntypedStorage] = WeakSet()

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # A result that shares memory with what the operation got is a view of it, or it changed in place.
        given = set(_storages((args, kwargs)))
        result = func(*args, **kwargs)
        self._made.update(storage for storage in _storages(result) if storage not in given)
        self.peak = max(self.peak, sum(storage.nbytes() for storage in self._made))
        return result


def _storages(values: object) -> Iterator[torch.UntypedStorage]:
    return (leaf.untyped_storage() for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))
