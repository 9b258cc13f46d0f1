"""LightM-UNet against a plain statement of its wiring, its start, and what is particular to it.

What every network does alike (contract, export, card) is in test_registered_networks, the authors' figures in parity.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from monai_lightseg import ops
from monai_lightseg.networks import NmODEDecoder, create_network, replace_decoder
from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.nets.lightm_unet import LightMUNetMambaLayer
from tests.networks.tester import image

# Both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
EXACT = {"rtol": 1e-9, "atol": 1e-9}

NAME = "lightm_unet"
# Other numbers of levels and blocks than released, one level without blocks, widths that do not double.
UNEVEN = {"features": (8, 24, 16), "blocks_down": (2, 0, 1), "blocks_up": (1, 2)}


def network(**arguments):
    torch.manual_seed(0)
    return create_network(NAME, **arguments).eval()


def randomised(module):
    """Scales, biases and norms away from their ones and zeros, so that none of them goes unnoticed."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module


def plain_layer(layer, x):
    batch, _, height, width = x.shape

    def norm(tokens):
        return functional.layer_norm(tokens, tokens.shape[-1:], layer.norm.weight, layer.norm.bias, 1e-5)

    # Row-major: the pixel (i, j) is the token i * width + j.
    tokens = x.permute(0, 2, 3, 1).reshape(batch, height * width, -1)
    tokens = norm(layer.mamba(norm(tokens)) + layer.skip_scale * tokens)
    tokens = functional.linear(tokens, layer.proj.weight, layer.proj.bias)
    return tokens.reshape(batch, height, width, -1).permute(0, 3, 1, 2)


def plain_network(net, x):
    """Level by level, with the weights of `net`; norms, pooling, activation and upsampling as functions."""

    def norm_relu(module, x):
        return functional.relu(functional.group_norm(x, 8, module.weight, module.bias, 1e-5))

    def depthwise_separable(convs, x, padding):
        x = functional.conv2d(x, convs[0].weight, convs[0].bias, padding=padding, groups=x.shape[1])
        return functional.conv2d(x, convs[1].weight, convs[1].bias)

    skips = []
    for i, (entry, *blocks) in enumerate(net.encoder.levels):
        x = depthwise_separable(entry, x, 1) if i == 0 else functional.max_pool2d(plain_layer(entry[0], x), 2)
        for block in blocks:
            y = plain_layer(block.mamba1, norm_relu(block.norm1, x))
            x = plain_layer(block.mamba2, norm_relu(block.norm2, y)) + x
        skips.append(x)
    skips.pop()
    for narrow, blocks in zip(net.decoder.narrow, net.decoder.levels, strict=True):
        x = functional.conv2d(x, narrow.weight)
        size = [2 * side for side in x.shape[2:]]
        x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False) + skips.pop()
        for block in blocks:
            y = depthwise_separable(block.conv, norm_relu(block.norm1, x), 1)
            x = norm_relu(block.norm2, y + block.skip_scale * x)
    return depthwise_separable(net.decoder.head, norm_relu(net.decoder.norm, x), 0)


SETTINGS = {
    "released": {},
    "uneven": UNEVEN,
    "channels": {"features": (16, 8), "blocks_down": (1, 1), "blocks_up": (1,), "in_channels": 1, "out_channels": 3},
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("arguments", SETTINGS.values(), ids=SETTINGS)
def test_equals_the_plain_statement(arguments, training):
    net = randomised(network(**arguments)).double().train(training)
    x = image(2, net.in_channels, 16, 24).double()
    torch.testing.assert_close(net(x), plain_network(net, x), **EXACT)


def test_residual_of_a_mamba_layer_is_not_normalised():
    torch.manual_seed(0)
    layer = randomised(LightMUNetMambaLayer(8, 4)).double()
    nn.init.zeros_(layer.mamba.out_proj.weight)
    x = 5 + image(2, 8, 3, 4).double()
    pixels = x.movedim(1, -1)
    torch.testing.assert_close(layer(x).movedim(1, -1), layer.proj(layer.norm(layer.skip_scale * pixels)), **EXACT)


def test_every_layer_scans_once_and_at_its_size():
    net, x = network(), image(2, 3, 16, 32)
    scans = []

    def nothing(u, delta, A, *others):
        scans.append(u.shape)
        return torch.zeros_like(u), u.new_zeros(*A.shape)

    with torch.no_grad(), ops.scan_backend(ops.ScanBackend("nothing", nothing, lambda *_: None)):
        net(x)
    # Two scans of twice the width per block, and one in front of every pooling.
    pixels = 16 * 32
    expected = [(2, 64, pixels)] * 3 + [(2, 128, pixels // 4)] * 5 + [(2, 256, pixels // 16)] * 5
    assert scans == expected + [(2, 512, pixels // 64)] * 8


def test_blocks_per_level():
    net = network(**UNEVEN)
    assert [len(level) - 1 for level in net.encoder.levels] == [2, 0, 1]
    assert [len(level) for level in net.decoder.levels] == [1, 2]
    layers = [module for module in net.modules() if isinstance(module, net.base_block)]
    assert len(layers) == 2 * (2 + 0 + 1) + 2
    assert net.encoder_strides == ((1, 1), (2, 2), (4, 4))
    assert net.encoder_channels == (8, 24, 16)


def test_pyramid():
    net = network(**UNEVEN)
    with torch.no_grad():
        pyramid = net.encode(image(1, 3, 8, 12))
    assert [tuple(x.shape) for x in pyramid] == [(1, 8, 8, 12), (1, 24, 4, 6), (1, 16, 2, 3)]


def test_start_is_that_of_mamba_and_of_pytorch():
    net = network(features=(32, 64), blocks_down=(1, 1), blocks_up=(1,))
    mambas = [module for module in net.modules() if isinstance(module, LightsegMamba)]
    assert len(mambas) == 5
    for mamba in mambas:
        step = functional.softplus(mamba.dt_proj.bias)
        # Rounding of the float32 bias moves the ends by 1e-6.
        assert step.min() >= 1e-3 * (1 - 1e-4)
        assert step.max() <= 0.1 * (1 + 1e-4)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.abs().max() <= fan_in**-0.5
        elif isinstance(module, nn.GroupNorm | nn.LayerNorm):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    scales = [value for key, value in net.state_dict().items() if key.endswith("skip_scale")]
    assert len(scales) == 5 + 1
    assert all((scale == 1).all() for scale in scales)


def test_only_the_head_has_a_bias():
    net = network()
    with_bias = [
        key for key, module in net.named_modules() if isinstance(module, nn.Conv2d) and module.bias is not None
    ]
    assert with_bias == ["decoder.head.0", "decoder.head.1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, got 3"),
        ({"deep_supervision": True}, "deep_supervision must be False"),
        ({"features": (32,)}, r"features must name two or more levels, got \(32,\)"),
        ({"features": (32, 60, 128, 256)}, r"features must be multiples of the norm's 8 groups, got \(32, 60"),
        ({"features": (32, 64, 128)}, r"blocks_down must give .* 3 levels, got \(1, 2, 2, 4\)"),
        ({"features": (8, 8, 8), "blocks_down": (1, 1, 1)}, r"blocks_up must give .* 2 levels, got \(1, 1, 1\)"),
        ({"blocks_down": (1, 2, -1, 4)}, r"blocks_down must give .* 4 levels, got \(1, 2, -1, 4\)"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network(NAME, **arguments)


def test_activation_and_norm_as_named():
    net = network(**{**UNEVEN, "features": (5, 6, 7)}, act="gelu", norm="batch")
    assert not any(isinstance(module, nn.ReLU | nn.GroupNorm) for module in net.modules())
    # Two per block, and one in front of the head.
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) == 2 * (3 + 3) + 1
    with torch.no_grad():
        assert net.train()(image(2, 3, 8, 8)).isfinite().all()


def test_dropout_follows_every_level():
    net = randomised(network(**UNEVEN, dropout=1.0)).train()
    seen = []
    for level in (*net.encoder.levels[1:], *net.decoder.levels[1:]):
        level.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        output = net(image(2, 3, 8, 8))
    assert len(seen) == 3
    # The levels down get nothing; so does the last one up, plus a skip that was dropped too.
    assert all((x == 0).all() for x in seen)
    torch.testing.assert_close(output, output[:1, :, :1, :1].expand_as(output))


def test_replaced_decoder():
    net = randomised(network(**UNEVEN))
    new = replace_decoder(net)
    assert isinstance(new.decoder, NmODEDecoder)
    assert all(
        torch.equal(net.state_dict()[f"encoder.{key}"], value) for key, value in new.encoder.state_dict().items()
    )
    with torch.no_grad():
        assert new(image(2, 3, 13, 9)).shape == (2, 1, 13, 9)
