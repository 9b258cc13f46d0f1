"""Parameters and operations of a network, counted as built and as the papers count."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from monai.networks import eval_mode
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from monai_lightseg.ops import ScanBackend, scan_backend

__all__ = ["count_flops", "count_macs", "count_macs_thop", "count_parameters"]

SCAN_OPERATIONS_PER_STATE = 9


def count_parameters(network: nn.Module) -> int:
    """Number of values in all parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, input_size: Sequence[int] = (1, 3, 256, 256)) -> int:
    """Floating point operations as built: 2 per multiply-accumulate of `count_macs`, plus those of selective scans.

    A scan counts 9 per state and position (two of them the exponential and its argument, the rest the recurrence and
    the product with C), which is how VMamba's counter has it, and one per input value for each of D and z.

    Args:
        network: counted in eval mode, left as it was.
        input_size: (B, C, *spatial).
    """
    of_products, of_scans = _count_operations(network, input_size)
    return of_products + of_scans


def count_macs(network: nn.Module, input_size: Sequence[int] = (1, 3, 256, 256)) -> int:
    """Multiply-accumulates of convolutions and matrix products as built; arguments as `count_flops`."""
    return _count_operations(network, input_size)[0] // 2


def _count_operations(network: nn.Module, input_size: Sequence[int]) -> tuple[int, int]:
    """Operations of convolutions and matrix products, and of selective scans."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), eval_mode(network), counter, _counted_scans() as of_scans:
        network(_zeros(network, input_size))
    return int(counter.get_total_flops()), sum(of_scans)


@contextmanager
def _counted_scans() -> Iterator[list[int]]:
    """Selective scans compute nothing, and leave the number of their operations in the list."""
    operations: list[int] = []

    def count(
        u: torch.Tensor,
        delta: torch.Tensor,
        A: torch.Tensor,
        B: torch.Tensor,
        C: torch.Tensor,
        D: torch.Tensor | None,
        z: torch.Tensor | None,
        *_: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        extras = (D is not None) + (z is not None)
        operations.append(u.numel() * (SCAN_OPERATIONS_PER_STATE * A.shape[1] + extras))
        return torch.zeros_like(u), u.new_zeros(*u.shape[:2], A.shape[1])

    with scan_backend(ScanBackend("counting", count)):
        yield operations


def count_macs_thop(network: nn.Module, input_size: Sequence[int] = (1, 3, 256, 256)) -> int:
    """Multiply-accumulates as the papers count them: the figure that the `thop` profiler prints.

    Per call of a module: convolutions and linear layers their multiply-accumulates (a transposed convolution output
    elements x input channels x kernel), batch, instance and layer norms 4 per element (2 without affine
    parameters), PReLU 1 and bilinear `nn.Upsample` 11 per output element, nearest 1, adaptive average pooling 1 per
    input element and output element. Functional operations, group norms, raw parameters and scans count nothing.

    Args:
        network: a copy of it runs in train mode on two images, where every norm is really called; the result is for
            the batch given.
        input_size: (B, C, *spatial).
    """
    network = copy.deepcopy(network).train()
    total = 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        # What a module makes of parameters alone, a batch of one, does not double with the images.
        total += _thop_cost(module, inputs[0], output) * (2 if inputs[0].shape[0] == 1 else 1)

    hooks = [module.register_forward_hook(count) for module in network.modules() if not list(module.children())]
    with torch.no_grad(), _counted_scans():
        network(_zeros(network, (2 * input_size[0], *input_size[1:])))
    for hook in hooks:
        hook.remove()
    return total // 2


def _thop_cost(module: nn.Module, x: torch.Tensor, output: torch.Tensor) -> int:
    if isinstance(module, _ConvNd):
        return output.numel() * module.in_channels // module.groups * math.prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, _NormBase | nn.LayerNorm):
        return x.numel() * (4 if module.weight is not None else 2)
    if isinstance(module, nn.PReLU):
        return x.numel()
    if isinstance(module, nn.Upsample):
        return output.numel() * (1 if module.mode == "nearest" else 11)
    if isinstance(module, nn.modules.pooling._AdaptiveAvgPoolNd):
        return output.numel() * (math.prod(x.shape[2:]) // math.prod(output.shape[2:]) + 1)
    return 0


def _zeros(network: nn.Module, input_size: Sequence[int]) -> torch.Tensor:
    like = next(network.parameters())
    return torch.zeros(tuple(input_size), device=like.device, dtype=like.dtype)
