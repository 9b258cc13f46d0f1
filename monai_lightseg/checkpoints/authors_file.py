"""Checkpoint files of the authors' code, read as plain state dicts; nothing in them is run."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from monai_lightseg.checkpoints.network_file import CheckpointCard
from monai_lightseg.errors import LightsegError

__all__ = ["read_authors_file"]

_NESTINGS = ("state_dict", "model_state_dict", "model", "net", "network_weights")
_DEEPEST = 4
_WRAPPERS = ("module.", "_orig_mod.", "model.")
_PROFILER_BUFFERS = ("total_ops", "total_params")
_NUMPY_SCALARS = ("numpy.dtype", "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
_FIRST_BYTES = (b"PK", b"\x80")

_REMEDY = (
    "where you trust the file and have the authors' code, load it there and save the weights alone with "
    "torch.save(model.state_dict(), 'weights.pth')"
)


class _NumpyScalar:
    """Stands for a numpy scalar beside the weights, such as a loss: numpy's own types are never built from a file."""

    def __init__(self, *parts: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_authors_file(path: str | Path) -> dict[str, torch.Tensor]:
    """Read the state dict in a checkpoint of the authors' code.

    The weights may lie at the top or under `state_dict`, `model_state_dict`, `model`, `net` or `network_weights`, or
    one of these in another; what lies beside them is left out. So are the counters `total_ops` and `total_params`
    that the thop profiler leaves in a model. Where all keys begin with `module.` (DataParallel), `_orig_mod.`
    (torch.compile) or `model.` (Lightning), that is taken off.

    Not thread-safe: what torch.load may build is set for the whole process while the file is read.

    Args:
        path: a safetensors file, or what torch.save wrote.

    Returns:
        The weights on the CPU, by the authors' keys.

    Raises:
        LightsegError: the file is missing, damaged or no checkpoint; it holds pickled objects other than tensors, plain
            values and numpy scalars; it holds no weights, weights in several places, or some that are sparse, quantised
            or without values; it is converted already.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
            size = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise LightsegError(f"{path} cannot be read ({error.strerror}); check the path") from error
    # A safetensors file begins with the length of its header, which is JSON.
    safe = path.suffix == ".safetensors" or (start[8:] == b"{" and int.from_bytes(start[:8], "little") < size)
    content = _read_safetensors(path) if safe else _read_torch(path, start)
    found = _state_dicts(content)
    if not found:
        raise LightsegError(
            f"{path} holds no weights: no tensors at its top or under {', '.join(_NESTINGS)}; save the state dict alone"
        )
    if len(found) > 1:
        raise LightsegError(
            f"{path} holds weights in several places: {', '.join(map('.'.join, found))}; save the wanted ones alone"
        )
    weights = next(iter(found.values()))
    for key, tensor in weights.items():
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
            raise LightsegError(
                f"{path}: {key} is sparse, quantised or without values (meta device); save the weights as dense tensors"
            )
    return _without_wrappers(weights)


def _read_safetensors(path: Path) -> Any:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        weights = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise LightsegError(f"{path} is damaged or no safetensors file ({error}); get it again") from error
    if all(field.name in metadata for field in fields(CheckpointCard)):
        raise LightsegError(f"{path} is already converted; use load_network")
    return weights


def _read_torch(path: Path, start: bytes) -> Any:
    unreadable = f"{path} cannot be read as a checkpoint: it is damaged, or not what torch.save writes; {_REMEDY}"
    # Text can be read as pickle instructions, and would then be refused for a reason that misleads.
    if not start.startswith(_FIRST_BYTES):
        raise LightsegError(unreadable)
    try:
        with _only_numpy_scalars_allowed():
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged pickle can raise anything.
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused is None:
            raise LightsegError(unreadable) from error
        raise LightsegError(
            f"{path} was not loaded: it holds a pickled {refused[1]}, and pickled objects can run any code; {_REMEDY}"
        ) from error


@contextmanager
def _only_numpy_scalars_allowed() -> Iterator[None]:
    """Let torch.load take numpy scalars, whatever else the program allows for files of its own."""
    allowed = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals([(_NumpyScalar, name) for name in _NUMPY_SCALARS]):
            yield
    finally:
        torch.serialization.add_safe_globals(allowed)


def _state_dicts(content: Any, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], dict[str, torch.Tensor]]:
    """Every state dict in `content`, by the keys that lead to it."""
    if not isinstance(content, Mapping):
        return {}
    found: dict[tuple[str, ...], dict[str, torch.Tensor]] = {}
    # A dictionary can hold itself.
    for key in _NESTINGS if len(place) < _DEEPEST else ():
        found |= _state_dicts(content.get(key), (*place, key))
    if found:
        return found
    weights = {
        key: value.detach()
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor) and key.split(".")[-1] not in _PROFILER_BUFFERS
    }
    return {place: weights} if weights else {}


def _without_wrappers(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    for wrapper in _WRAPPERS:
        if all(key.startswith(wrapper) for key in weights):
            return _without_wrappers({key.removeprefix(wrapper): tensor for key, tensor in weights.items()})
    return weights
