"""The authors' state dicts, renamed to ours; nothing may be left over on either side."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from monai_lightseg.checkpoints.key_maps import KEY_MAPS
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import create_network

__all__ = ["convert"]


def convert(name: str, authors_state_dict: Mapping[str, torch.Tensor], **network_arguments: Any) -> dict[str, Any]:
    """Rename the authors' weights for `create_network(name, **network_arguments)`.

    The result loads with `load_state_dict(..., strict=True)`. Tensors are not copied.

    Args:
        name: registry name.
        authors_state_dict: state dict of the authors' network, tensors by their keys.
        **network_arguments: arguments that build the network the weights belong to.

    Raises:
        LightsegError: no key map for `name`; or keys left over on either side, or shapes that differ: all listed.
    """
    if name not in KEY_MAPS:
        raise LightsegError(f"no key map for network {name!r}; there are maps for {', '.join(sorted(KEY_MAPS))}")
    with torch.device("meta"):
        expected = create_network(name, **network_arguments).state_dict()
    renamed: dict[str, Any] = {}
    unmatched = []
    for key, tensor in authors_state_dict.items():
        ours = _rename(key, name)
        if ours is None or ours not in expected or ours in renamed:
            unmatched.append(key)
        else:
            renamed[ours] = tensor
    wrong_shape = [
        f"{key} has {tuple(tensor.shape)}, the network {tuple(expected[key].shape)}"
        for key, tensor in renamed.items()
        if tensor.shape != expected[key].shape
    ]
    problems = [
        *_listed("keys of the given weights that fit nothing", unmatched),
        *_listed("keys of the network that nothing fills", (key for key in expected if key not in renamed)),
        *_listed("shapes that differ", wrong_shape),
    ]
    if problems:
        raise LightsegError(f"weights do not fit {name} with {network_arguments}: " + "; ".join(problems))
    return {key: renamed[key] for key in expected}


def _rename(key: str, name: str) -> str | None:
    for pattern, replacement in KEY_MAPS[name]:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(replacement)
    return None


def _listed(title: str, names: Iterable[str]) -> list[str]:
    names = list(names)
    return [f"{title}: {', '.join(names)}"] if names else []
