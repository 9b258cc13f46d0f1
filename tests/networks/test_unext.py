"""UNeXt and UNeXt-S against a plain statement of their wiring, their start, and what is particular to them.

What every network does alike (contract, export, card) is in test_registered_networks, the authors' figures in parity.
"""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from monai_lightseg.networks import NmODEDecoder, UNeXt, create_network, replace_decoder
from monai_lightseg.networks.nets.unext import UNeXtBlock, shift_channels
from tests.networks.tester import TINY, image

# Both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
EXACT = {"rtol": 1e-9, "atol": 1e-9}

both = pytest.mark.parametrize("name", ["unext", "unext_s"])


def network(name="unext", **arguments):
    torch.manual_seed(0)
    return create_network(name, **arguments).eval()


def randomised(net):
    """Scales, biases and norms away from their ones and zeros, so that none of them goes unnoticed."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for key, buffer in net.named_buffers():
            if key.endswith(("running_mean", "running_var")):
                buffer.add_(0.1 * torch.rand_like(buffer))
    return net


def rolled(x, axis):
    """The shift as the paper has it: the map with a border of zeros, its chunks rolled, cut to its size again."""
    height, width = x.shape[2:]
    chunks = functional.pad(x, (2, 2, 2, 2)).chunk(5, dim=1)
    whole = torch.cat([torch.roll(chunk, i - 2, axis) for i, chunk in enumerate(chunks)], dim=1)
    return whole[:, :, 2 : 2 + height, 2 : 2 + width]


@pytest.mark.parametrize("size", [(7, 9), (8, 3), (2, 2), (1, 1)])
@pytest.mark.parametrize("channels", [160, 128, 64, 32, 12, 5, 1])
@pytest.mark.parametrize("axis", [2, 3])
def test_shift_is_a_roll_in_a_border_of_zeros(axis, channels, size):
    x = torch.randn((2, channels, *size), generator=torch.Generator().manual_seed(0))
    shifted = shift_channels(x.movedim(1, -1), axis - 1).movedim(-1, 1)
    assert torch.equal(shifted, rolled(x, axis))


def test_shift_of_one_bright_row():
    x = torch.zeros(1, 5, 1, 10)
    x[:, 2] = 1
    shifted = shift_channels(x, 1)
    # Channels 0 and 1 are one chunk, and so on: they move it to rows 0, 1, 2, 3 and 4.
    expected = torch.eye(5).repeat_interleave(2, dim=1).reshape(1, 5, 1, 10)
    assert torch.equal(shifted, expected)


def norm_tokens(module, tokens):
    return functional.layer_norm(tokens, tokens.shape[-1:], module.weight, module.bias, 1e-5)


def as_map(tokens, size):
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *size)


def as_tokens(x):
    return x.flatten(2).transpose(1, 2)


def plain_block(block, tokens, size):
    x = as_tokens(rolled(as_map(norm_tokens(block.norm, tokens), size), 2))
    x = as_map(functional.linear(x, block.linear1.weight, block.linear1.bias), size)
    x = functional.conv2d(x, block.depthwise.weight, block.depthwise.bias, padding=1, groups=x.shape[1])
    x = as_tokens(rolled(functional.gelu(x), 3))
    return tokens + functional.linear(x, block.linear2.weight, block.linear2.bias)


def plain_network(net, x):
    """Stage by stage on tokens, with the weights of `net`; everything but the outer norms as functions."""
    encoder, decoder = net.encoder, net.decoder

    def conv(module, x, stride=1):
        return functional.conv2d(x, module.weight, module.bias, stride=stride, padding=module.weight.shape[2] // 2)

    def twice(x):
        size = [2 * side for side in x.shape[2:]]
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=False)

    t = []
    for level in encoder.levels[:3]:
        x = functional.relu(functional.max_pool2d(level[1](conv(level[0], x)), 2))
        t.append(x)
    for patches, patch_norm, block, norm in encoder.levels[3:]:
        x = conv(patches, x, stride=2)
        size = x.shape[2:]
        tokens = plain_block(block, norm_tokens(patch_norm, as_tokens(x)), size)
        x = as_map(norm_tokens(norm, tokens), size)
        t.append(x)
    t.pop()
    for i in range(4):
        x = functional.relu(twice(decoder.levels[i][1](conv(decoder.levels[i][0], x)))) + t.pop()
        if i < 2:
            block, norm = decoder.blocks[i]
            size = x.shape[2:]
            x = as_map(norm_tokens(norm, plain_block(block, as_tokens(x), size)), size)
    return conv(decoder.head, functional.relu(twice(conv(decoder.last, x))))


SETTINGS = {
    "released": ("unext", {}),
    "small": ("unext_s", {"in_channels": 1, "out_channels": 3}),
    "uneven": ("unext", {"features": (6, 5, 9, 7, 11)}),
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("name", "arguments"), SETTINGS.values(), ids=SETTINGS)
def test_equals_the_plain_statement(name, arguments, training):
    net = randomised(network(name, **arguments)).double().train(training)
    x = image(2, net.in_channels, 64, 96).double()
    torch.testing.assert_close(net(x), plain_network(net, x), **EXACT)


def test_small_one_differs_in_its_widths_only():
    small = network("unext_s")
    assert isinstance(small, UNeXt)
    assert small.encoder_channels == (8, 16, 32, 64, 128)
    shapes = {key: value.shape for key, value in small.state_dict().items()}
    by_width = network("unext", features=small.encoder_channels)
    assert shapes == {key: value.shape for key, value in by_width.state_dict().items()}


@both
def test_pyramid(name):
    net = network(name, **TINY[name])
    with torch.no_grad():
        pyramid = net.encode(image(1, 3, 64, 96))
    strides = [stride for stride, _ in net.encoder_strides]
    assert strides == [2, 4, 8, 16, 32]
    expected = [(1, c, 64 // s, 96 // s) for c, s in zip(net.encoder_channels, strides, strict=True)]
    assert [tuple(x.shape) for x in pyramid] == expected


@both
def test_four_blocks_keep_the_shape(name):
    net = network(name)
    blocks = [module for module in net.modules() if isinstance(module, net.base_block)]
    seen = []
    for block in blocks:
        block.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0].shape, output.shape)))
    with torch.no_grad():
        net(image(1, 3, 32, 64))
    assert len(seen) == 4
    assert all(before == after for before, after in seen)
    _, _, third, fourth, fifth = net.encoder_channels
    assert [tuple(shape) for shape, _ in seen] == [
        (1, fourth, 2, 4),
        (1, fifth, 1, 2),
        (1, fourth, 2, 4),
        (1, third, 4, 8),
    ]


def test_start():
    net = network()
    deep = [*net.encoder.levels[3:], *net.decoder.blocks[:2]]
    drawn = {id(module) for part in deep for module in part.modules()}
    # Per block two linear layers and a convolution; two patch embeddings.
    pool = []
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and id(module) in drawn:
            std = 0.02
            if isinstance(module, nn.Conv2d):
                std = math.sqrt(2 / (9 * module.out_channels / module.groups))
            pool.append(module.weight.detach().double().flatten() / std)
            # Five standard deviations of the deviation of that many draws.
            assert abs(pool[-1].square().mean().sqrt() - 1) < 5 / math.sqrt(2 * pool[-1].numel()), module
            assert (module.bias == 0).all()
        elif isinstance(module, nn.Conv2d):
            # Uniform, as PyTorch draws it.
            bound = (module.in_channels * module.kernel_size[0] * module.kernel_size[1]) ** -0.5
            assert 0.8 * bound < module.weight.abs().max() <= bound
            assert 0 < module.bias.abs().max() <= bound
        elif isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    assert len(pool) == 4 * 3 + 2
    # Half a million draws: five standard deviations of a fourth moment. Uniform: 1.8.
    assert abs((torch.cat(pool) ** 4).mean() - 3) < 0.07


@both
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, got 3"),
        ({"deep_supervision": True}, "deep_supervision must be False"),
        ({"features": (8, 16, 32, 64)}, r"features must name five levels, got \(8, 16, 32, 64\)"),
        ({"features": [8] * 6}, r"features must name five levels, got \(8, 8, 8, 8, 8, 8\)"),
    ],
)
def test_arguments_that_cannot_be(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network(name, **arguments)


def test_activation_and_norm_as_named():
    net = network(**TINY["unext"], act="leakyrelu", norm="instance")
    assert not any(isinstance(module, nn.ReLU | nn.BatchNorm2d) for module in net.modules())
    # Three levels down, four up; the last convolution has no norm.
    assert sum(isinstance(module, nn.InstanceNorm2d) for module in net.modules()) == 3 + 4
    assert sum(isinstance(module, UNeXtBlock) for module in net.modules()) == 4
    with torch.no_grad():
        assert net(image(1, 3, 20, 20)).isfinite().all()


def test_dropout_follows_every_level():
    net = randomised(network(**TINY["unext"], dropout=1.0)).train()
    seen = []
    for level in (*net.encoder.levels[1:], *net.decoder.levels, net.decoder.last, net.decoder.head):
        level.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net(image(2, 3, 64, 64))
    assert len(seen) == 4 + 4 + 2
    assert all((x == 0).all() for x in seen)


@both
def test_replaced_decoder(name):
    net = randomised(network(name))
    new = replace_decoder(net)
    assert isinstance(new.decoder, NmODEDecoder)
    assert all(
        torch.equal(net.state_dict()[f"encoder.{key}"], value) for key, value in new.encoder.state_dict().items()
    )
    with torch.no_grad():
        assert new(image(2, 3, 50, 37)).shape == (2, 1, 50, 37)
