"""The `mamba_ssm` back end: the CUDA kernel of the mamba-ssm package, where that is installed with it."""

from functools import cache
from importlib import import_module

import torch

__all__ = ["mamba_ssm_obstacle", "mamba_ssm_scan"]

# mamba-ssm can be installed without its Mamba-1 kernel, which is this extension module.
KERNEL_MODULE = "selective_scan_cuda"
KERNEL_STATES = 256


def mamba_ssm_obstacle(u: torch.Tensor, A: torch.Tensor, return_last_state: bool) -> str | None:
    """Why the kernel cannot run for this input, or None."""
    if u.device.type != "cuda":
        return f"it runs on CUDA and the input is on {u.device.type}"
    if u.dtype == torch.float64:
        return "its kernel has no float64"
    if A.shape[1] > KERNEL_STATES:
        return f"its kernel has {KERNEL_STATES} states at most, not {A.shape[1]}"
    if return_last_state and torch.is_grad_enabled():
        return "its kernel passes no gradient through the last state"
    if torch.compiler.is_compiling():
        return "its kernel cannot be part of a graph"
    return _import_problem()


@cache
def _import_problem() -> str | None:
    """What is wrong with the installation; a package that is there may still fail to import."""
    try:
        import_module("mamba_ssm.ops.selective_scan_interface")
        import_module(KERNEL_MODULE)
    except Exception as error:
        return f"mamba_ssm with its {KERNEL_MODULE} extension does not import ({type(error).__name__}: {error})"
    return None


def mamba_ssm_scan(
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
    """The kernel in float32; arguments and results as `two_level_scan`."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    u, delta, A, B, C = (tensor.float() for tensor in (u, delta, A, B, C))
    D, z, delta_bias = (None if tensor is None else tensor.float() for tensor in (D, z, delta_bias))
    return selective_scan_fn(u, delta, A, B, C, D, z, delta_bias, delta_softplus, return_last_state=True)
