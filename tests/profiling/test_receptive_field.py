"""Receptive fields against those worked out by hand and against finite differences; radii against a plain loop."""

import math

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from monai_lightseg.networks import create_network, list_networks, set_solver
from monai_lightseg.networks.blocks.ode import LightsegODEBlock
from monai_lightseg.profiling import effective_receptive_field, receptive_radius
from tests.networks.tester import TINY, fitting_shape, image, tiny_network

SIZE = (9, 12)


def stack_of_ones(convolutions, channels=1):
    """3x3 convolutions of ones: the gradient counts the ways from a pixel of the image to one of the logits."""
    network = nn.Sequential(*(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(convolutions)))
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    return network


def ways(pixel, convolutions):
    """The same, counted: a 3x3 box applied to the pixel again and again, cut at the border."""
    field = torch.zeros(1, 1, *SIZE)
    field[0, 0, *pixel] = 1
    for _ in range(convolutions):
        field = nn.functional.conv2d(field, torch.ones(1, 1, 3, 3), padding=1)
    return field[0, 0]


@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_convolutions_see_what_they_reach(convolutions):
    pixels = [(4, 6), (0, 0), (8, 3)]
    fields = effective_receptive_field(stack_of_ones(convolutions), torch.rand(1, 1, *SIZE), pixels)
    assert fields.shape == (3, *SIZE)
    for field, pixel in zip(fields, pixels, strict=True):
        assert torch.equal(field, ways(pixel, convolutions))
    inside = slice(4 - convolutions, 5 + convolutions), slice(6 - convolutions, 7 + convolutions)
    assert (fields[0][inside] > 0).all()
    assert fields[0].sum() == fields[0][inside].sum() == 9**convolutions
    assert receptive_radius(fields[0], (4, 6), share=1) == math.hypot(convolutions, convolutions)


def test_channels_of_the_image_do_not_cancel():
    network = nn.Conv2d(2, 1, 1)
    network.weight.data = torch.tensor([3.0, -3.0])[None, :, None, None]
    fields = effective_receptive_field(network, torch.rand(1, 2, *SIZE), [(1, 2)])
    assert fields[0, 1, 2] == fields.sum() == 6


def test_channel_of_the_logits():
    network = nn.Conv2d(1, 2, 1)
    network.weight.data = torch.tensor([2.0, 5.0])[:, None, None, None]
    for channel, weight in enumerate((2, 5)):
        assert effective_receptive_field(network, torch.rand(1, 1, *SIZE), [(1, 2)], channel=channel).sum() == weight


def test_field_of_a_mirrored_image_is_mirrored():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1)).double()
    for layer in (network[0], network[2]):
        layer.weight.data = layer.weight.data + layer.weight.data.flip(-1)
    x = image(1, 3, *SIZE).double()
    field = effective_receptive_field(network, x, [(3, 2)])
    mirrored = effective_receptive_field(network, x.flip(-1), [(3, SIZE[1] - 1 - 2)])
    torch.testing.assert_close(mirrored, field.flip(-1))
    assert not torch.allclose(field, field.flip(-1))


def awake_network(name):
    """Statistics of batch norms near those of images: with others all units behind one may be dead."""
    network = tiny_network(name, out_channels=2)
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        network.train()
        with torch.no_grad():
            for seed in range(10):
                network(image(*fitting_shape(network), seed=seed))
    return network.eval()


@pytest.mark.parametrize("name", list_networks())
def test_every_network(name):
    if name == "unode":
        pytest.importorskip("torchdiffeq")
    network = awake_network(name)
    shape = fitting_shape(network, batch=1)
    height, width = shape[2] - 1, shape[3] - 3  # which has to be padded
    pixels = [(row, column) for row in (0, height // 2, height - 1) for column in (0, width // 2, width - 1)]
    fields = effective_receptive_field(network, image(*shape)[..., :height, :width], pixels, channel=1)
    assert fields.shape == (9, height, width)
    assert fields.isfinite().all() and not fields.requires_grad
    assert (fields >= 0).all()
    radii = receptive_radius(fields, pixels)
    alive = fields.sum(dim=(1, 2)) > 0
    # Four units can be dead at one pixel or the other.
    assert alive.sum() >= 7
    assert torch.equal(radii.isfinite(), alive)
    assert ((radii[alive] > 0) & (radii[alive] < math.hypot(height, width))).all()


def test_unode_agrees_with_finite_differences():
    """Every pixel of one row, in float64 by central differences, whose error is of the order of the step squared."""
    network = create_network("unode", **TINY["unode"], solver="rk4").double().eval()
    x, pixel, step = image(1, 3, 8, 8).double(), (3, 4), 1e-6
    field = effective_receptive_field(network, x, [pixel])[0]
    for column in range(8):
        moved = x.repeat(6, 1, 1, 1)
        for channel in range(3):
            moved[2 * channel, channel, 3, column] += step
            moved[2 * channel + 1, channel, 3, column] -= step
        with torch.no_grad():
            logits = network(moved)[:, 0, *pixel]
        expected = (logits[0::2] - logits[1::2]).abs().sum() / (2 * step)
        torch.testing.assert_close(field[3, column], expected, rtol=1e-5, atol=1e-6)


def test_adaptive_steps_are_differentiated_themselves():
    """The adjoint equation solved to 1e-3 missed this gradient by more than half of it."""
    pytest.importorskip("torchdiffeq")
    network, x = tiny_network("unode"), image(1, 3, 32, 32)
    solvers = [module.solver for module in network.modules() if isinstance(module, LightsegODEBlock)]
    assert all(solver.adjoint for solver in solvers)
    field = effective_receptive_field(network, x, [(16, 16)])
    assert [module.solver for module in network.modules() if isinstance(module, LightsegODEBlock)] == solvers
    set_solver(network, adjoint=False)
    x.requires_grad_()
    (of_steps,) = torch.autograd.grad(network(x)[0, 0, 16, 16], x)
    assert torch.equal(field[0], of_steps[0].abs().sum(dim=0))
    set_solver(network, adjoint=True)
    (of_adjoint,) = torch.autograd.grad(network(x)[0, 0, 16, 16], x)
    assert (of_adjoint - of_steps).norm() > 0.1 * of_steps.norm()


def test_network_and_image_are_left_as_they_were():
    network = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Conv2d(2, 1, 1))
    network.train()
    network[2].eval()
    network[0].weight.grad = torch.ones_like(network[0].weight)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    x = torch.rand(1, 1, *SIZE, requires_grad=True)
    field = effective_receptive_field(network, x, [(1, 1)])
    assert [module.training for module in network.modules()] == [True, True, True, False, True]
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    assert x.grad is None and network[3].weight.grad is None
    assert (network[0].weight.grad == 1).all()
    assert torch.equal(field, effective_receptive_field(network.eval(), x, [(1, 1)]))


def test_frozen_weights_meta_tensors_and_no_gradient_around():
    network = stack_of_ones(1).requires_grad_(False)
    x = torch.rand(1, 1, *SIZE)
    expected = effective_receptive_field(network, x, [(2, 2)])
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert torch.equal(effective_receptive_field(network, x + 0, [(2, 2)]), expected)
    assert type(effective_receptive_field(network, MetaTensor(x), [(2, 2)])) is torch.Tensor


def test_no_pixels():
    assert effective_receptive_field(stack_of_ones(1), torch.rand(1, 1, *SIZE), []).shape == (0, *SIZE)


@pytest.mark.parametrize("pixel", [(-1, 0), (0, -1), (9, 0), (0, 12)])
def test_pixel_outside(pixel):
    with pytest.raises(ValueError, match=r"outside the logits of 9x12"):
        effective_receptive_field(stack_of_ones(1), torch.rand(1, 1, *SIZE), [(0, 0), pixel])
    with pytest.raises(ValueError, match=r"outside the field of 9x12"):
        receptive_radius(torch.ones(SIZE), pixel)


@pytest.mark.parametrize("channel", [-1, 1])
def test_channel_outside(channel):
    with pytest.raises(ValueError, match=f"from 0 to 0, got {channel}"):
        effective_receptive_field(stack_of_ones(1), torch.rand(1, 1, *SIZE), [(0, 0)], channel=channel)


@pytest.mark.parametrize("shape", [(1, 9, 12), (2, 1, 9, 12), (1, 1, 4, 9, 12)])
def test_not_one_image(shape):
    with pytest.raises(ValueError, match=r"\(1, C, H, W\), got"):
        effective_receptive_field(stack_of_ones(1), torch.rand(shape), [(0, 0)])


def test_network_is_left_as_it_was_after_an_error():
    network = stack_of_ones(1).train()
    with pytest.raises(ValueError, match="outside"):
        effective_receptive_field(network, torch.rand(1, 1, *SIZE), [(99, 0)])
    assert all(module.training for module in network.modules())


@pytest.mark.parametrize(
    ("share", "radius"),
    [(1 / 9, 0), (1 / 9 + 1e-9, 1), (5 / 9, 1), (0.6, math.sqrt(2)), (0.9, math.sqrt(2)), (1, math.sqrt(2))],
)
def test_radius_of_a_box(share, radius):
    field = torch.zeros(SIZE)
    field[3:6, 4:7] = 1
    assert receptive_radius(field, (4, 5), share) == radius


def test_radius_of_a_single_pixel_is_its_distance():
    field = torch.zeros(SIZE)
    field[5, 10] = 1e-30
    assert receptive_radius(field, (2, 6)) == 5


def slow_radius(field, pixel, share):
    """The definition, read aloud."""
    places = [(math.dist((row, column), pixel), row, column) for row in range(SIZE[0]) for column in range(SIZE[1])]
    for radius in sorted({distance for distance, *_ in places}):
        if sum(field[row, column] for distance, row, column in places if distance <= radius) >= share * field.sum():
            return radius
    return math.nan


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_radii_of_many_fields_at_once(share):
    fields = image(2, 3, *SIZE).double() ** 8
    pixels = torch.tensor([[(0, 0), (4, 6), (8, 11)], [(3, 2), (8, 0), (1, 7)]])
    radii = receptive_radius(fields, pixels, share)
    assert radii.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            assert math.isclose(radii[i, j], slow_radius(fields[i, j], pixels[i, j].tolist(), share), rel_tol=1e-12)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, math.nan])
def test_share_out_of_range(share):
    with pytest.raises(ValueError, match="share must be above 0 and at most 1"):
        receptive_radius(torch.ones(SIZE), (0, 0), share)


def test_number_of_pixels():
    with pytest.raises(ValueError, match=r"\(3, 9, 12\) need one pixel each, got \(2, 2\)"):
        receptive_radius(torch.ones(3, *SIZE), [(0, 0), (1, 1)])


@pytest.mark.parametrize("value", [0, math.nan, math.inf])
def test_field_without_a_sum_has_no_radius(value):
    fields = torch.ones(2, *SIZE)
    fields[0] = value
    radii = receptive_radius(fields, [(0, 0), (0, 0)])
    assert radii[0].isnan() and radii[1] > 0
