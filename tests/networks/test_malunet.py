"""What the shared tests do not say of MALUNet: its two attention modules against their formulas, its arguments."""

import pytest
import torch
from torch.nn import functional

from monai_lightseg.networks import create_network
from monai_lightseg.networks.nets.malunet import MALUNetDGA, MALUNetIEA
from tests.networks.tester import image


def test_external_attention_is_normalised_over_pixels_then_memory():
    torch.manual_seed(0)
    module, x = MALUNetIEA(8), image(2, 8, 4, 5)
    pixels = module.query(x).reshape(2, 8, 20)
    keys, values = module.keys.weight[..., 0], module.values.weight[..., 0]
    attention = torch.einsum("mc,bcn->bmn", keys, pixels).exp()
    attention = attention / attention.sum(dim=2, keepdim=True)
    attention = attention / attention.sum(dim=1, keepdim=True)
    attended = torch.einsum("cm,bmn->bcn", values, attention).reshape(x.shape)
    expected = functional.gelu(module.norm(module.project(attended)) + x)
    torch.testing.assert_close(module(x), expected)


def test_the_two_memories_are_two():
    module = MALUNetIEA(8)
    assert module.keys.weight.data_ptr() != module.values.weight.data_ptr()
    assert not torch.equal(module.keys.weight[..., 0].T, module.values.weight[..., 0])


def test_dilations_see_from_far_to_near():
    """The first quarter of the channels reaches 7 pixels away, the last one 1."""
    module = MALUNetDGA(8, 8)
    seen = []
    module.norm.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    x = torch.zeros(1, 8, 31, 31, requires_grad=True)
    module(x)
    reach = []
    for quarter in seen[0].chunk(4, dim=1):
        (gradient,) = torch.autograd.grad(quarter[:, :, 15, 15].sum(), x, retain_graph=True)
        rows = gradient.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        reach.append((rows - 15).abs().max().item())
    assert reach == [7, 5, 2, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "malunet is 2D: spatial_dims must be 2, got 3"),
        ({"features": (8, 16, 24, 32)}, "features must name six levels"),
        ({"features": (8, 16, 24, 32, 48, 62)}, "the last four multiples of 4"),
        ({"deep_supervision": True}, "no auxiliary outputs"),
        ({"split_att": "linear"}, "split_att|linear"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network("malunet", **arguments)


@pytest.mark.parametrize("arguments", [{"bridge": False}, {"split_att": "conv"}])
def test_other_bridges(arguments):
    network = create_network("malunet", **arguments).eval()
    with torch.no_grad():
        assert network(image(1, 3, 33, 20)).shape == (1, 1, 33, 20)
