"""Our checkpoint files: safetensors that say in their metadata which network they hold and where it is from."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import nn

from monai_lightseg.atomic import write_bytes
from monai_lightseg.checkpoints.misfits import list_misfits
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks.building import build_network

__all__ = ["CheckpointCard", "load_network", "read_checkpoint_card"]


@dataclass(frozen=True)
class CheckpointCard:
    """What a checkpoint file says of itself.

    Attributes:
        network: registry name.
        arguments: arguments that build the network.
        origin: repository (and revision) of the authors' code.
        licence: licence of that repository.
        source: name of the authors' file.
        source_sha256: SHA-256 of that file, in hexadecimal.
        version: version of this package that wrote the file.
    """

    network: str
    arguments: dict[str, Any]
    origin: str
    licence: str
    source: str
    source_sha256: str
    version: str


def read_checkpoint_card(path: str | Path) -> CheckpointCard:
    """Read the card of a checkpoint file; the weights are left alone.

    Raises:
        LightsegError: the file is missing, damaged, no safetensors, or has no card.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from error
    missing = [field.name for field in fields(CheckpointCard) if field.name not in metadata]
    if missing:
        raise LightsegError(
            f"{path} does not say which network it holds (no {', '.join(missing)} in its metadata); "
            "make it with: lightseg checkpoints convert"
        )
    known = {field.name: metadata[field.name] for field in fields(CheckpointCard)}
    return CheckpointCard(**known | {"arguments": _read_arguments(path, metadata["arguments"])})


def load_network(path: str | Path) -> nn.Module:
    """Build the network of a checkpoint file and load its weights.

    Returns:
        The network on the CPU, in evaluation mode.

    Raises:
        LightsegError: the file is missing, damaged, no safetensors, or has no card; the card names a network or
            arguments that this version does not know; the weights do not fit.
    """
    card = read_checkpoint_card(path)
    try:
        network = build_network(card.network, card.arguments)
    except LightsegError as error:
        raise LightsegError(f"{path} was written by monai-lightseg {card.version}: {error}") from error
    try:
        weights = safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise _unreadable(path, error) from error
    expected = network.state_dict()
    known = {key: tensor for key, tensor in weights.items() if key in expected}
    problems = list_misfits([key for key in weights if key not in expected], known, expected)
    if problems:
        raise LightsegError("\n".join([f"{path}: weights do not fit {card.network!r}:", *problems]))
    network.load_state_dict(weights, strict=True)
    return network.eval()


def write_network_file(network: nn.Module, card: CheckpointCard, path: Path) -> None:
    """Write the weights of `network` and their card, whole or not at all.

    Raises:
        LightsegError: the file cannot be written; nothing is left behind.
    """
    metadata = asdict(card) | {"arguments": json.dumps(card.arguments)}
    content = _with_ordered_metadata(safetensors.torch.save(network.state_dict(), metadata))
    try:
        write_bytes(path, content)
    except OSError as error:
        raise LightsegError(f"{path} cannot be written ({error}); check the folder and the space on disk") from error


def _with_ordered_metadata(content: bytes) -> bytes:
    """The same file with its metadata sorted: safetensors writes them in another order each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    # The weights begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def _read_arguments(path: str | Path, text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise LightsegError(f"{path}: the network arguments in its metadata are no JSON object; convert it again")
    return arguments


def _unreadable(path: str | Path, error: Exception) -> LightsegError:
    return LightsegError(f"{path} cannot be read as safetensors ({error}); check the path and the file")
