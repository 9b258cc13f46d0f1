"""The attention bridges against a plain statement of them, map by map and channel by channel."""

import pytest
import torch
from torch.nn import functional

from monai_lightseg.networks.blocks.bridges import LightsegBridge, LightsegChannelBridge, LightsegSpatialBridge
from monai_lightseg.profiling import count_parameters

# Both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
EXACT = {"rtol": 1e-12, "atol": 1e-12}

CHANNELS = (4, 3, 6)
SIZES = {
    "halved": [(32, 24), (16, 12), (8, 6)],
    "below_the_kernel": [(5, 3), (2, 2), (1, 2)],
    "one_pixel": [(1, 1)] * 3,
    "last_two_alike": [(7, 9), (3, 4), (3, 4)],
}

every_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
both_forms = pytest.mark.parametrize("split_att", ["fc", "conv"])


def randomised(module):
    """In float64, with weights large enough to tell everything apart and small enough not to saturate a sigmoid."""
    torch.manual_seed(0)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return module


def maps(sizes, batch=2):
    generator = torch.Generator().manual_seed(1)
    return [
        0.5 + torch.randn(batch, channels, *size, dtype=torch.float64, generator=generator)
        for channels, size in zip(CHANNELS, sizes, strict=True)
    ]


def naive_spatial(conv, maps):
    weights = []
    for x in maps:
        mean, largest = x.sum(1) / x.shape[1], x.max(1).values
        z = functional.conv2d(torch.stack([mean, largest], dim=1), conv.weight, conv.bias, padding=9, dilation=3)
        weights.append(z.sigmoid())
    return weights


def naive_channel(bridge, maps):
    pooled = torch.cat([x.mean((2, 3)) for x in maps], dim=1)
    before, middle, after = bridge.mix.weight.flatten()
    zero = pooled.new_zeros(pooled.shape[0], 1)
    left, right = torch.cat([zero, pooled[:, :-1]], dim=1), torch.cat([pooled[:, 1:], zero], dim=1)
    mixed = before * left + middle * pooled + after * right
    return [
        (mixed @ attention.weight.reshape(attention.weight.shape[:2]).T + attention.bias).sigmoid()[:, :, None, None]
        for attention in bridge.attentions
    ]


@every_size
def test_spatial(sizes):
    bridge, x = randomised(LightsegSpatialBridge()), maps(sizes)
    output = bridge(x)
    assert [tuple(weight.shape) for weight in output] == [(2, 1, *size) for size in sizes]
    for weight, expected in zip(output, naive_spatial(bridge.conv, x), strict=True):
        torch.testing.assert_close(weight, expected, **EXACT)


@every_size
@both_forms
def test_channel(split_att, sizes):
    bridge, x = randomised(LightsegChannelBridge(CHANNELS, split_att)), maps(sizes)
    output = bridge(x)
    assert [tuple(weight.shape) for weight in output] == [(2, channels, 1, 1) for channels in CHANNELS]
    for weight, expected in zip(output, naive_channel(bridge, x), strict=True):
        torch.testing.assert_close(weight, expected, **EXACT)


@every_size
@both_forms
def test_bridge(split_att, sizes):
    bridge, t = randomised(LightsegBridge(CHANNELS, split_att)), maps(sizes)
    s = [weight * x for weight, x in zip(naive_spatial(bridge.spatial.conv, t), t, strict=True)]
    u = [a + b for a, b in zip(s, t, strict=True)]
    weights = naive_channel(bridge.channel, u)
    for i, output in enumerate(bridge(t)):
        torch.testing.assert_close(output, weights[i] * u[i] + s[i], **EXACT)


@every_size
def test_linear_and_convolution_are_one_function(sizes):
    fc, conv = (LightsegBridge(CHANNELS, split_att).double() for split_att in ("fc", "conv"))
    expected = conv.state_dict()
    assert fc.state_dict().keys() == expected.keys()
    conv.load_state_dict({key: value.reshape(expected[key].shape) for key, value in fc.state_dict().items()})
    for ours, theirs in zip(fc(maps(sizes)), conv(maps(sizes)), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_default_is_linear():
    assert all(isinstance(attention, torch.nn.Linear) for attention in LightsegBridge(CHANNELS).channel.attentions)


def test_one_spatial_convolution_for_all_maps():
    total = sum(CHANNELS)
    # 7x7 on mean and maximum with bias; three taps over the channels; a linear layer with bias per map.
    assert count_parameters(LightsegBridge(CHANNELS)) == (2 * 49 + 1) + 3 + (total + 1) * total


@both_forms
def test_gradients(split_att):
    bridge, x = randomised(LightsegBridge(CHANNELS, split_att)), maps(SIZES["halved"])
    inputs = [t.requires_grad_() for t in x]
    sum(output.square().mean() for output in bridge(inputs)).backward()
    for key, parameter in bridge.named_parameters():
        assert (parameter.grad != 0).all(), key
    assert all((t.grad != 0).all() for t in inputs)


def test_inputs_are_left_alone():
    bridge, x = randomised(LightsegBridge(CHANNELS)), maps(SIZES["halved"])
    bridge(x)
    assert all(torch.equal(t, other) for t, other in zip(x, maps(SIZES["halved"]), strict=True))


def test_images_of_a_batch_do_not_mix():
    bridge, x = randomised(LightsegBridge(CHANNELS)), maps(SIZES["halved"], batch=3)
    alone = [bridge([t[i : i + 1] for t in x]) for i in range(3)]
    for output, parts in zip(bridge(x), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(output, torch.cat(parts), **EXACT)


def test_unknown_split_att():
    with pytest.raises(ValueError, match="By 'conv1d'"):
        LightsegBridge(CHANNELS, "conv1d")
