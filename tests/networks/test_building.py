"""build_network: a network, or one line that says why not."""

import pytest
import torch

from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import NmODEUNet
from monai_lightseg.networks.building import build_network


def test_builds():
    with torch.device("meta"):
        network = build_network("nmode_unet", {"solver": "heun", "features": [4, 8]})
    assert isinstance(network, NmODEUNet)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("nmode_unt", {}, "^no network 'nmode_unt'; there are .*unode.*; did you mean 'nmode_unet'[?]$"),
        ("xyz", {}, "^no network 'xyz'; there are .*unode.*, uresnet$"),
        ("nmode_unet", {"a": 1, "name": 2}, "^nmode_unet has no argument a, name; it has: spatial_dims, .*solver"),
        ("nmode_unet", {"features": 3}, r"^nmode_unet cannot be built with [{]'features': 3[}]: ."),
        ("nmode_unet", {"solver": "huen"}, "^nmode_unet cannot be built with .*did you mean 'heun'"),
    ],
)
def test_mistakes_are_one_line(name, arguments, message):
    with pytest.raises(LightsegError, match=message) as error:
        build_network(name, arguments)
    assert "\n" not in str(error.value)
