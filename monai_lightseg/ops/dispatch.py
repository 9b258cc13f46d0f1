"""Which back end computes a selective scan: the last registered that can, unless one is forced.

A new back end is one `register_scan_backend(ScanBackend(...))` here; nothing else has to know of it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch

from monai_lightseg.ops.mamba_ssm_scan import mamba_ssm_obstacle, mamba_ssm_scan
from monai_lightseg.ops.two_level_scan import two_level_scan

__all__ = ["ScanBackend", "chosen_backend", "list_scan_backends", "register_scan_backend", "scan_backend"]

ENVIRONMENT_VARIABLE = "LIGHTSEG_SCAN_BACKEND"

ScanFunction = Callable[..., tuple[torch.Tensor, torch.Tensor]]
Obstacle = Callable[[torch.Tensor, torch.Tensor, bool], str | None]


@dataclass(frozen=True)
class ScanBackend:
    """One way to compute the scan.

    Attributes:
        name: what forces it.
        run: (u, delta, A, B, C, D, z, delta_bias, delta_softplus) -> output (B, D, L) and last state (B, D, N), both
            at least float32, on inputs that were checked; B and C are (B, G, N, L).
        obstacle: (u, A, whether the last state is asked for) -> why it cannot run for this input here, or None; by
            default there is none.
    """

    name: str
    run: ScanFunction
    obstacle: Obstacle = lambda *_: None


_BACKENDS: dict[str, ScanBackend] = {}
_forced: ContextVar[str | ScanBackend | None] = ContextVar("forced_scan_backend", default=None)


def register_scan_backend(backend: ScanBackend) -> None:
    """Add a back end, in front of those already known: `auto` asks the last registered one first.

    Raises:
        ValueError: the name is taken, or is "auto".
    """
    if backend.name in _BACKENDS or backend.name == "auto":
        raise ValueError(f"scan back end name {backend.name!r} is taken")
    _BACKENDS[backend.name] = backend


def list_scan_backends() -> list[str]:
    """Names of the back ends in the order in which `auto` asks them."""
    return list(reversed(_BACKENDS))


@contextmanager
def scan_backend(backend: str | ScanBackend) -> Iterator[None]:
    """Force a back end for the scans inside a `with`, over the environment variable.

    Args:
        backend: a name from `list_scan_backends`, "auto", or a back end that need not be registered.

    Raises:
        ValueError: no such name. (A back end that cannot run an input says so when it gets it.)
    """
    if isinstance(backend, str):
        _check_name(backend)
    token = _forced.set(backend)
    try:
        yield
    finally:
        _forced.reset(token)


def chosen_backend(u: torch.Tensor, A: torch.Tensor, return_last_state: bool) -> ScanBackend:
    """The back end for an input: forced by `scan_backend`, by LIGHTSEG_SCAN_BACKEND, or the first that can run it.

    Raises:
        ValueError: LIGHTSEG_SCAN_BACKEND holds no known name, or a forced back end cannot run this input.
    """
    forced = _forced.get() or os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
    request = (u, A, return_last_state)
    if forced == "auto":
        return next(_BACKENDS[name] for name in list_scan_backends() if _BACKENDS[name].obstacle(*request) is None)
    if isinstance(forced, str):
        _check_name(forced)
        forced = _BACKENDS[forced]
    obstacle = forced.obstacle(*request)
    if obstacle:
        raise ValueError(f"scan back end {forced.name!r} was asked for, but {obstacle}; use 'auto' or 'torch'")
    return forced


def _check_name(name: str) -> None:
    known = ["auto", *list_scan_backends()]
    if name not in known:
        raise ValueError(f"scan_backend or {ENVIRONMENT_VARIABLE} names {name!r}; known: {', '.join(known)}")


register_scan_backend(ScanBackend("torch", two_level_scan))
register_scan_backend(ScanBackend("mamba_ssm", mamba_ssm_scan, mamba_ssm_obstacle))
