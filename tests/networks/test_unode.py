"""U-Node: its options, and with fixed steps all that its card says adaptive ones cannot do."""

import pytest
import torch
from torch.nn import functional

from monai_lightseg.networks import count_evaluations, create_network, set_solver
from monai_lightseg.networks.blocks.ode import LightsegODEBlock
from monai_lightseg.networks.nets.unode import UNodeTimeConv
from tests.networks.test_registered_networks import CAPABILITIES, ROUNDING
from tests.networks.tester import assert_near, assert_near_in_norm, fitting_shape, image, tiny_network


def fixed(**arguments):
    return tiny_network("unode", solver="rk4", **arguments)


@torch.no_grad()
def test_time_plane_is_the_first_channel():
    torch.manual_seed(0)
    conv, x = UNodeTimeConv(4), image(2, 4, 5, 7)
    with_plane = torch.cat([torch.full((2, 1, 5, 7), 0.3), x], dim=1)
    expected = functional.conv2d(with_plane, conv.weight, conv.bias, padding=1)
    assert_near(conv(x, 0.3), expected, 1e-6)
    assert_near(conv(x, torch.tensor(0.3)), expected, 1e-6)


@pytest.mark.parametrize("capability", ["export", "onnx", "compile"])
@torch.no_grad()
def test_capabilities_with_fixed_steps(capability):
    # Every step and level repeats the same operations, which takes a graph runtime seconds each.
    network = tiny_network("unode", features=(16, 16), solver="rk4", steps=1)
    x = image(*fitting_shape(network))
    assert_near_in_norm(CAPABILITIES[capability](network, x)(x), network(x), 1e-4)


def test_compiled_training():
    network = tiny_network("unode", features=(16, 16), solver="rk4", steps=1).train()
    x = image(*fitting_shape(network))
    network(x).square().mean().backward()
    expected = {name: weights.grad.clone() for name, weights in network.named_parameters()}
    network.zero_grad()
    torch.compile(network, backend="aot_eager", dynamic=False)(x).square().mean().backward()
    for name, weights in network.named_parameters():
        assert_near_in_norm(weights.grad, expected[name], 1e-3)


@torch.no_grad()
def test_fixed_steps_keep_images_apart():
    network = fixed()
    x = image(*fitting_shape(network, batch=3))
    assert_near_in_norm(torch.cat([network(x[i : i + 1]) for i in range(3)]), network(x), ROUNDING)


@torch.no_grad()
def test_fixed_steps_near_the_adaptive_solution():
    network = tiny_network("unode")
    x = image(*fitting_shape(network))
    set_solver(network, "rk4", steps=64)
    fine = network(x)
    set_solver(network, "dopri5", rtol=1e-6, atol=1e-6)
    # What is left is the adaptive steps' error, which the activation's kinks make larger than the tolerance.
    assert_near_in_norm(network(x), fine, 1e-3)


@torch.no_grad()
def test_ode_in_the_encoder_alone():
    everywhere, network = fixed(), fixed(ode_in="encoder")
    assert network.state_dict().keys() == everywhere.state_dict().keys()
    assert not any(isinstance(module, LightsegODEBlock) for module in network.decoder.modules())
    x = image(*fitting_shape(network))
    with count_evaluations(network) as evaluations:
        output = network(x)
    assert evaluations == {f"encoder.blocks.{i}": 8 for i in range(3)}
    # A residual block is one step of Euler's method.
    decoder = everywhere.decoder
    set_solver(decoder, "euler", steps=1)
    assert_near(everywhere(x), output, 1e-6)


@torch.no_grad()
def test_fewer_levels():
    network = create_network("unode", features=(8, 16), solver="rk4").eval()
    assert network.size_multiple == (2, 2)
    assert network(image(1, 3, 9, 7)).shape == (1, 1, 9, 7)


@torch.no_grad()
def test_not_dependent_on_time():
    network = fixed(time_dependent=False)
    x = image(*fitting_shape(network))
    assert network(x).isfinite().all()
    rate, at = network.encoder.blocks[0].rate, image(1, 16, 8, 8)
    assert torch.equal(rate(at, 0.0), rate(at, 1.0))
    assert {tuple(rate.conv1.weight.shape), tuple(rate.conv2.weight.shape)} == {(16, 16, 3, 3), (16, 16, 1, 1)}


@pytest.mark.parametrize("time_dependent", [True, False])
@torch.no_grad()
def test_normalised_input(time_dependent):
    """Where the state is normalised first, its scale and offset do not matter to its rate of change."""
    x = image(1, 16, 8, 8)
    for norm_input, same in ((True, True), (False, False)):
        rate = fixed(time_dependent=time_dependent, norm_input=norm_input).encoder.blocks[0].rate
        assert torch.allclose(rate(5 * x + 2, 0.5), rate(x, 0.5), rtol=1e-2, atol=1e-3) is same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "unode is 2D"),
        ({"features": (8,)}, "two or more levels"),
        ({"ode_in": "decoder"}, "did you mean 'encoder'"),
        ({"solver": "rk44"}, "did you mean 'rk4'"),
        ({"steps": 0}, "steps must be"),
        ({"deep_supervision": True}, "deep_supervision must be False"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network("unode", **arguments)
