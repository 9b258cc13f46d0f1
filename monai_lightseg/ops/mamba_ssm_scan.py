"""The `mamba_ssm` back end: the CUDA kernel of the mamba-ssm package, where that is installed with it."""

from importlib.util import find_spec

import torch

__all__ = ["mamba_ssm_obstacle", "mamba_ssm_scan"]

# mamba-ssm can be installed without its Mamba-1 kernel, which is this extension module.
KERNEL_MODULE = "selective_scan_cuda"


def mamba_ssm_obstacle(u: torch.Tensor) -> str | None:
    """Why the kernel cannot run for `u`, or None."""
    if u.device.type != "cuda":
        return f"it runs on CUDA and the input is on {u.device.type}"
    if u.dtype == torch.float64:
        return "its kernel has no float64"
    if torch.compiler.is_compiling():
        return "its kernel cannot be part of a graph"
    if find_spec("mamba_ssm") is None or find_spec(KERNEL_MODULE) is None:
        return f"mamba_ssm with its {KERNEL_MODULE} extension is not installed"
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
