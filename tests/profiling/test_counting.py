"""Counts against figures worked out by hand."""

import pytest
import torch
from torch import nn

from monai_lightseg.profiling import count_flops, count_macs, count_macs_thop, count_parameters


def state(network):
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


@pytest.mark.parametrize(
    ("network", "input_size", "parameters", "macs"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 12), 3 * 8 * 9 + 8, 8 * 120 * 27),
        (nn.Conv2d(3, 8, 3, padding=1), (4, 3, 10, 12), 3 * 8 * 9 + 8, 4 * 8 * 120 * 27),
        (nn.Conv2d(4, 8, 3, stride=2, bias=False), (1, 4, 9, 9), 4 * 8 * 9, 8 * 16 * 36),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (1, 8, 5, 6), 8 * 9 + 8, 8 * 30 * 9),
        (nn.Conv3d(2, 3, 1), (1, 2, 4, 4, 4), 2 * 3 + 3, 3 * 64 * 2),
        (nn.Linear(5, 7), (2, 5), 5 * 7 + 7, 2 * 5 * 7),
    ],
)
def test_convolutions_and_products(network, input_size, parameters, macs):
    assert count_parameters(network) == parameters
    assert count_macs(network, input_size) == macs
    assert count_flops(network, input_size) == 2 * macs
    assert count_macs_thop(network, input_size) == macs


def test_transposed_convolution_counts_as_thop_does():
    """thop: output elements x input channels x kernel; as built every input element meets the kernel once."""
    network = nn.ConvTranspose2d(4, 6, 2, stride=2)
    assert count_macs_thop(network, (1, 4, 5, 5)) == 6 * 100 * 4 * 4
    assert count_macs(network, (1, 4, 5, 5)) == 4 * 25 * 6 * 4


@pytest.mark.parametrize(
    ("module", "per_element"),
    [
        (nn.BatchNorm2d(3), 4),
        (nn.BatchNorm2d(3, affine=False), 2),
        (nn.LayerNorm([6, 5]), 4),
        (nn.InstanceNorm2d(3), 2),
        (nn.GroupNorm(3, 3), 0),
        (nn.PReLU(), 1),
        (nn.ReLU(), 0),
        (nn.Upsample(scale_factor=2, mode="bilinear"), 4 * 11),
        (nn.Upsample(scale_factor=2, mode="nearest"), 4),
    ],
)
def test_thop_count_of_other_modules(module, per_element):
    convolution = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(convolution, module)
    assert count_macs_thop(network, (1, 3, 6, 5)) == 90 * 3 + 90 * per_element
    assert count_macs(network, (1, 3, 6, 5)) == 90 * 3


def test_a_module_called_twice_counts_twice():
    convolution = nn.Conv2d(3, 3, 1)
    assert count_macs_thop(nn.Sequential(convolution, convolution), (1, 3, 4, 4)) == 2 * 16 * 9


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [count_flops, count_macs, count_macs_thop])
def test_network_is_left_as_it_was(count, training):
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).train(training)
    before = state(network)
    count(network, (1, 3, 8, 8))
    assert network.training is training
    assert network[1].training is training
    assert not network[0]._forward_hooks
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    assert all(parameter.grad is None for parameter in network.parameters())
