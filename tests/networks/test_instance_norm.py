"""The fast instance norm is the instance norm."""

import pytest
import torch
from torch import nn

from monai_lightseg.networks.blocks.instance_norm import LightsegInstanceNorm2d, get_fast_norm_layer
from tests.networks.tester import image


@pytest.mark.parametrize("norm", ["instance", ("instance", {"eps": 4.0}), ("instance", {"affine": True})])
def test_same_values_and_gradients(norm):
    fast = get_fast_norm_layer(norm, 6)
    assert type(fast) is LightsegInstanceNorm2d
    plain = nn.InstanceNorm2d(6, fast.eps, affine=fast.affine)
    for weights, others in zip(fast.parameters(), plain.parameters(), strict=True):
        nn.init.normal_(weights)
        others.data.copy_(weights.data)
    results = []
    for layer in (fast, plain):
        x = image(2, 6, 5, 7).requires_grad_()
        output = layer(x)
        output.pow(3).sum().backward()
        results.append([output.detach(), x.grad, *(weights.grad for weights in layer.parameters())])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("norm", ["batch", ("group", {"num_groups": 2}), ("instance", {"track_running_stats": True})])
def test_others_stay(norm):
    assert type(get_fast_norm_layer(norm, 6)).__module__.startswith("torch.nn")
