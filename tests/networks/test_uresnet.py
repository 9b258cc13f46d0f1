"""U-ResNet: its released quirks and the options that turn them off."""

import pytest
import torch

from monai_lightseg.networks import create_network
from monai_lightseg.networks.nets.uresnet import UResNetBlock
from tests.networks.tester import fitting_shape, image, tiny_network


@pytest.mark.parametrize("on_trunk", [False, True])
@torch.no_grad()
def test_what_the_encoder_blocks_reach(on_trunk):
    network = tiny_network("uresnet", blocks_on_trunk=on_trunk)
    x = image(*fitting_shape(network))
    skip, *_, deepest = network.encode(x)
    network.encoder.blocks[0].conv1.weight.add_(1)
    changed_skip, *_, changed_deepest = network.encode(x)
    assert not torch.equal(changed_skip, skip)
    assert torch.equal(changed_deepest, deepest) is not on_trunk


@torch.no_grad()
def test_released_norm_mostly_centres():
    norm = UResNetBlock(64, "leakyrelu", None, norm_input=False).norm2
    x = image(1, 64, 8, 8)
    torch.testing.assert_close(norm(x), (x - x.mean((2, 3), keepdim=True)) / 8, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("norm_input", [False, True])
@torch.no_grad()
def test_normalised_input(norm_input):
    block = UResNetBlock(8, "leakyrelu", "instance", norm_input).eval()
    x = image(1, 8, 8, 8)
    changes, changes_of_scaled = block(x) - x, block(5 * x + 2) - (5 * x + 2)
    assert torch.allclose(changes, changes_of_scaled, rtol=1e-2, atol=1e-3) is norm_input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "uresnet is 2D"),
        ({"features": (8,)}, "two or more levels"),
        ({"deep_supervision": True}, "deep_supervision must be False"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network("uresnet", **arguments)
