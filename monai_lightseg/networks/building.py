"""A network from the name and the arguments that a user wrote, with every mistake in one line."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from torch import nn

from monai_lightseg.errors import LightsegError
from monai_lightseg.networks.registry import network_class

__all__ = ["build_network"]


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the network registered under `name`.

    Args:
        name: registry name.
        arguments: keyword arguments of its class.

    Raises:
        LightsegError: no such name, arguments the class does not have, or values that do not build it; always one line.
    """
    try:
        network_type = network_class(name)
    except ValueError as error:
        raise LightsegError(f"no network {name!r}: {_one_line(error)}") from error
    known = signature(network_type).parameters
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise LightsegError(f"{name} has no argument {', '.join(unknown)}; it has: {', '.join(known)}")
    try:
        return network_type(**arguments)
    except Exception as error:  # A class given values of a wrong type can raise anything.
        raise LightsegError(f"{name} cannot be built with {dict(arguments)}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
