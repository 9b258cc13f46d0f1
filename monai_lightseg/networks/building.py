"""A network from the name and the arguments that a user wrote, with every mistake in one line."""

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from torch import nn

from monai_lightseg.errors import LightsegError
from monai_lightseg.networks.registry import list_networks, network_class

__all__ = ["build_network"]


def build_network(name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Build the network registered under `name`.

    Args:
        name: registry name.
        arguments: keyword arguments of its class.

    Raises:
        LightsegError: no such name, arguments the class does not have, or values that do not build it; always one line.
    """
    if name not in list_networks():
        nearest = get_close_matches(name, list_networks(), 1)
        hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
        raise LightsegError(f"no network {name!r}; there are {', '.join(list_networks())}{hint}")
    network_type = network_class(name)
    known = signature(network_type).parameters
    unknown = [key for key in arguments if key not in known]
    if unknown:
        raise LightsegError(f"{name} has no argument {', '.join(unknown)}; it has: {', '.join(known)}")
    try:
        return network_type(**arguments)
    except Exception as error:  # A class given values of a wrong type can raise anything.
        reason = " ".join(str(error).split())
        raise LightsegError(f"{name} cannot be built with {dict(arguments)}: {reason}") from error
