"""The authors' checkpoint files, converted into ours."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_lightseg import __version__
from monai_lightseg.checkpoints.authors_file import read_authors_file
from monai_lightseg.checkpoints.conversion import convert
from monai_lightseg.checkpoints.network_file import CheckpointCard, write_network_file
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import network_card
from monai_lightseg.networks.building import build_network

__all__ = ["convert_file"]


def convert_file(
    source: str | Path,
    name: str,
    out: str | Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> CheckpointCard:
    """Convert a checkpoint of the authors' code into a safetensors file that `load_network` reads.

    The weights are loaded into the network before anything is written.

    Args:
        source: the authors' file, as `read_authors_file` takes it.
        name: registry name.
        out: file to write, named `.safetensors`; it appears whole or not at all.
        arguments: arguments that build the network the weights belong to; values that JSON can hold.
        overwrite: replace `out` where it exists.

    Returns:
        What the file says of itself in its metadata.

    Raises:
        LightsegError: `out` has another suffix, exists, or cannot be written; no such network, or arguments that do not
            build it; `source` cannot be read, or its weights do not fit: all problems are listed.
    """
    source, out = Path(source), Path(out)
    if out.suffix != ".safetensors":
        raise LightsegError(f"{out} is to be a safetensors file; end its name in .safetensors")
    if out.exists() and not overwrite:
        raise LightsegError(f"{out} exists; give another name, or --force (overwrite=True) to replace it")
    if out.exists() and source.exists() and out.samefile(source):
        raise LightsegError(f"{out} is the file to convert; give another name for the result")
    kept = _as_read_back(arguments or {})
    network = build_network(name, kept)
    weights = read_authors_file(source)
    origin = network_card(name)
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    card = CheckpointCard(
        network=name,
        arguments=kept,
        origin=origin.origin,
        licence=origin.licence,
        source=source.name,
        source_sha256=digest,
        version=__version__,
    )
    try:
        converted = convert(name, weights, **kept)
    except LightsegError as error:
        raise LightsegError(f"{source}: {error}") from error
    # The network copies them, so that what is written is contiguous and shares no memory, whatever the file did.
    network.load_state_dict(converted, strict=True)
    write_network_file(network, card, out)
    return card


def _as_read_back(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as JSON returns them, so that what is tried now is what `load_network` will build."""
    try:
        return json.loads(json.dumps(dict(arguments)))
    except TypeError as error:
        raise LightsegError(f"network arguments {arguments} cannot be kept as JSON: {error}") from error
