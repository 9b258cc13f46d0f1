"""The authors' state dicts, renamed to ours; nothing may be left over on either side."""

import re
from collections.abc import Mapping
from typing import Any

import torch

from monai_lightseg.checkpoints.key_maps import KEY_MAPS
from monai_lightseg.checkpoints.misfits import list_misfits
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import network_card
from monai_lightseg.networks.building import build_network

__all__ = ["convert"]


def convert(name: str, authors_state_dict: Mapping[str, torch.Tensor], **network_arguments: Any) -> dict[str, Any]:
    """Rename the authors' weights for `create_network(name, **network_arguments)`.

    The result loads with `load_state_dict(..., strict=True)`. Tensors are not copied.

    Args:
        name: registry name.
        authors_state_dict: state dict of the authors' network, tensors by their keys.
        **network_arguments: arguments that build the network the weights belong to.

    Raises:
        LightsegError: no key map for `name`; arguments that do not build the network; or keys left over on either side,
            shapes that differ, or kinds of numbers (floating, integer, complex) that do: one line that names the
            network that the weights do fit, where there is one, and one for each kind of problem.
    """
    if name not in KEY_MAPS:
        raise LightsegError(f"no key map for network {name!r}; there are maps for {', '.join(sorted(KEY_MAPS))}")
    expected = _expected(name, network_arguments)
    renamed, unmatched = _renamed(name, authors_state_dict, expected)
    problems = list_misfits(unmatched, renamed, expected)
    if problems:
        title = f"weights do not fit {_network_text(name, network_arguments)}:"
        raise LightsegError("\n".join([title, *_hint(authors_state_dict, name, network_arguments), *problems]))
    return {key: renamed[key] for key in expected}


def _expected(name: str, arguments: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build_network(name, arguments).state_dict()


def _renamed(
    name: str, weights: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The weights that have a place in `expected`, under our keys, and the authors' keys of those that have none."""
    renamed: dict[str, torch.Tensor] = {}
    unmatched = []
    for key, tensor in weights.items():
        ours = _our_key(key, name)
        if ours is None or ours not in expected or ours in renamed:
            unmatched.append(key)
        else:
            renamed[ours] = tensor
    return renamed, unmatched


def _our_key(key: str, name: str) -> str | None:
    for pattern, replacement in KEY_MAPS[name]:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(replacement)
    return None


def _hint(weights: Mapping[str, torch.Tensor], name: str, arguments: Mapping[str, Any]) -> list[str]:
    """Names the network whose keys these are, as the cards know it; of several the one with the fewest other shapes."""
    asked = (name, arguments)
    known = [(other, built) for other in KEY_MAPS for built in ({}, *_card_arguments(other))]
    fits = []
    for candidate in (asked, *known):
        if any(_our_key(key, candidate[0]) is None for key in weights):
            continue
        expected = _expected(*candidate)
        renamed, unmatched = _renamed(candidate[0], weights, expected)
        if not unmatched and len(renamed) == len(expected):
            fits.append((sum(renamed[key].shape != expected[key].shape for key in expected), candidate))
    if not fits:
        return []
    wrong_shapes, best = min(fits, key=lambda fit: fit[0])
    if best == asked:
        return []
    return [f"these keys{'' if wrong_shapes else ' and shapes'} fit {_network_text(*best)}"]


def _card_arguments(name: str) -> list[dict[str, Any]]:
    return [arguments for arguments, _ in network_card(name).reference_parameters]


def _network_text(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name!r} with {dict(arguments)}" if arguments else repr(name)
