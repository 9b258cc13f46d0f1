"""What the shared tests do not say of the U-Net with valid convolutions: what it pads, crops and refuses, its start."""

import json
import math
from pathlib import Path

import pytest
import torch
from monai.data import MetaTensor
from torch import nn
from torch.nn import functional

from monai_lightseg.networks import create_network, parallelize, replace_decoder
from monai_lightseg.networks.nets.unet_valid import ValidConvUNetDecoder
from monai_lightseg.profiling import count_flops, count_macs_thop
from tests.networks.tester import TINY, image, tiny_network

FIXTURE = Path(__file__).parents[1] / "parity" / "fixtures" / "unet_glas.json"


def same_and_valid(**arguments):
    """Two networks of the same weights, one for each padding."""
    same = tiny_network("unet_valid", **arguments)
    valid = create_network("unet_valid", **TINY["unet_valid"], **arguments, padding="valid").eval()
    valid.load_state_dict(same.state_dict())
    return same, valid


@torch.no_grad()
def transparent(source=0):
    """Five levels of one channel; every convolution gives the pixel in its middle, transposed ones repeat pixels.

    Of the two channels that meet in the decoder, the one of level `source` is taken, 0 the finest, 4 the deepest.
    """
    net = create_network("unet_valid", in_channels=1, features=(1,) * 5).eval()
    for key, parameter in net.named_parameters():
        parameter.zero_()
        if key.startswith("decoder.up") and key.endswith("weight"):
            parameter.fill_(1)
        elif key.endswith("weight") and parameter.shape[1] == 1:
            parameter[..., parameter.shape[2] // 2, parameter.shape[3] // 2] = 1
    for i, level in enumerate(net.decoder.levels):
        level.conv1.weight[0, 0 if source == 3 - i else 1, 1, 1] = 1
    return net


def pooled(x, level):
    return functional.max_pool2d(x, 2**level) if level else x


@pytest.mark.parametrize("size", [(24, 24), (28, 64)])
@torch.no_grad()
def test_same_size_is_the_valid_map_of_the_reflected_image(size):
    same, valid = same_and_valid()
    x = image(2, 3, *size)
    # 6 stride - 2; the map left is four pixels larger than the image.
    left = valid(functional.pad(x, (22,) * 4, mode="reflect"))
    assert left.shape == (2, 1, size[0] + 4, size[1] + 4)
    torch.testing.assert_close(same(x), left[..., 2:-2, 2:-2], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_frame_at_full_depth():
    arguments = {"features": (2, 2, 2, 2, 2)}
    same = create_network("unet_valid", **arguments).eval()
    valid = create_network("unet_valid", **arguments, padding="valid").eval()
    valid.load_state_dict(same.state_dict())
    x = image(1, 3, 96, 112)
    left = valid(functional.pad(x, (94,) * 4, mode="reflect"))
    torch.testing.assert_close(same(x), left[..., 2:-2, 2:-2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 16), (16, 7)])
@torch.no_grad()
def test_small_images_are_reflected_again_and_again(size):
    same, valid = same_and_valid()
    x = image(1, 3, *size)
    height, width = (-(-side // 4) * 4 for side in size)
    whole = functional.pad(x, (0, width - size[1], 0, height - size[0]), mode="replicate")
    for axis in (2, 3):
        side = whole.shape[axis]
        there_and_back = [*range(side), *range(side - 2, 0, -1)]
        places = [there_and_back[place % len(there_and_back)] for place in range(-22, side + 22)]
        whole = whole.index_select(axis, torch.tensor(places))
    expected = valid(whole)[..., 2 : 2 + size[0], 2 : 2 + size[1]]
    torch.testing.assert_close(same(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", range(5))
@torch.no_grad()
def test_every_level_meets_the_logits_where_it_shows_the_image(level):
    x = image(1, 1, 32, 48)
    expected = functional.interpolate(pooled(x, level), size=(32, 48), mode="nearest")
    assert torch.equal(transparent(level)(x), expected)


@torch.no_grad()
def test_another_decoder_gets_what_shows_the_image():
    x = image(1, 1, 32, 48)
    for net in (transparent(), create_network("unet_valid", in_channels=1, features=(1,) * 5, padding="valid")):
        net.load_state_dict(transparent().state_dict())
        new = replace_decoder(net).eval()
        for level, shown in enumerate(new.encode(x)):
            assert torch.equal(shown, pooled(x, level))
        # The smaller map was that of the decoder that is gone.
        assert new(image(1, 1, 7, 9)).shape == (1, 1, 7, 9)


@pytest.mark.parametrize("level", range(5))
@torch.no_grad()
def test_blocks_that_keep_the_size_shift_nothing(level):
    """As parallel vision Mamba layers do."""
    net, x = transparent(level), image(1, 1, 32, 48)
    for i in range(1, 5):
        net.encoder.levels[i] = nn.Identity()
    for i, block in enumerate(net.decoder.levels):
        mix = nn.Conv2d(2, 1, 1, bias=False)
        mix.weight.copy_(block.conv1.weight[:, :, 1:2, 1:2])
        net.decoder.levels[i] = mix
    expected = functional.interpolate(pooled(x, level), size=(32, 48), mode="nearest")
    assert torch.equal(net(x), expected)


@torch.no_grad()
def test_side_of_the_valid_map():
    _, valid = same_and_valid(out_channels=2)
    for height in range(44, 53):
        x = image(1, 3, height, height + 8)
        lost = 40 + height % 4
        assert valid(x).shape == (1, 2, height - lost, height + 8 - lost)
    output = valid(MetaTensor(image(1, 3, 48, 48), meta={"filename_or_obj": "a.png"}))
    assert output.shape == (1, 2, 8, 8)
    assert output.meta["filename_or_obj"] == "a.png"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((48, 49), r"the same remainder modulo 4, got 48 x 49\. Pad one"),
        ((43, 47), r"leaves nothing of 43 x 47: both sides must be 44 or more\. Pad them"),
        ((60, 40), r"leaves nothing of 60 x 40: both sides"),
    ],
)
def test_images_that_valid_refuses(size, message, training):
    same, valid = same_and_valid()
    with pytest.raises(ValueError, match=message):
        valid.train(training)(image(1, 3, *size))
    assert same(image(1, 3, *size)).shape[2:] == size


def test_operations_of_the_authors_code():
    """At the size the authors cut images to."""
    fixture = json.loads(FIXTURE.read_text())
    with torch.device("meta"):
        net = create_network("unet_valid", **fixture["arguments"])
    assert count_macs_thop(net, (1, 3, 544, 704)) == fixture["macs_thop"]
    assert count_flops(net, (1, 3, 544, 704)) == fixture["flops"]


@torch.no_grad()
def test_valid_exports_with_open_sides():
    _, valid = same_and_valid()
    auto = torch.export.Dim.AUTO
    program = torch.export.export(valid, (image(2, 3, 56, 64),), dynamic_shapes=({0: auto, 2: auto, 3: auto},))
    for shape in ((1, 3, 60, 52), (3, 3, 48, 48), (1, 3, 53, 61)):
        x = image(*shape)
        torch.testing.assert_close(program.module()(x), valid(x), rtol=1e-5, atol=1e-6)


def test_parallelize_needs_padding():
    with pytest.raises(ValueError, match="or use padding='same_size'"):
        parallelize(create_network("unet_valid", **TINY["unet_valid"], padding="valid"), branches=2)


def test_start():
    torch.manual_seed(0)
    net = create_network("unet_valid", features=(16, 32, 64))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = math.prod(module.weight.shape[1:])
            drawn = module.weight.detach().double().flatten() * math.sqrt(fan_in / 2)
            # Five standard deviations of the deviation of that many draws.
            assert abs(drawn.square().mean().sqrt() - 1) < 5 / math.sqrt(2 * drawn.numel()), module
            assert (module.bias == 0).all()
        elif isinstance(module, nn.ConvTranspose2d):
            # Uniform, as PyTorch draws it.
            bound = (4 * module.out_channels) ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound
            assert 0 < module.bias.abs().max() <= bound


def test_dropout_follows_every_level():
    net = tiny_network("unet_valid", dropout=1.0).train()
    seen = []
    for part in (*net.encoder.levels[1:], *net.decoder.up, net.decoder.head):
        part.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        net(image(2, 3, 8, 8))
    assert len(seen) == 2 + 2 + 1
    assert all((x == 0).all() for x in seen)


def test_activation_and_norm_as_named():
    net = tiny_network("unet_valid", act="leakyrelu", norm="instance")
    assert isinstance(net.decoder, ValidConvUNetDecoder)
    # Two behind each of three levels down and two up.
    assert sum(isinstance(module, nn.InstanceNorm2d) for module in net.modules()) == 10
    assert not any(isinstance(module, nn.ReLU) for module in net.modules())
    with torch.no_grad():
        assert net(image(1, 3, 1, 1)).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "unet_valid is 2D: spatial_dims must be 2, got 3"),
        ({"features": (16,)}, "two or more levels"),
        ({"deep_supervision": True}, "no auxiliary outputs"),
        ({"padding": "valdi"}, "did you mean 'valid'"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network("unet_valid", **arguments)
