"""What the shared tests do not say of EGE-UNet: its auxiliary outputs, its attention on any map, its arguments."""

import pytest
import torch
from monai.data import MetaTensor

from monai_lightseg.networks import create_network, network_class, replace_decoder
from monai_lightseg.networks.nets.egeunet import EGEUNetGHPA
from tests.networks.tester import image, tiny_network


def deep(**arguments):
    return tiny_network("egeunet", deep_supervision=True, **arguments)


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((64, 96), [(64, 96), (32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]),
        # Of an image that is padded inside, each shows the image alone.
        ((70, 33), [(70, 33), (35, 17), (18, 9), (9, 5), (5, 3), (3, 2)]),
    ],
)
def test_auxiliary_logits(size, sides):
    network = deep(out_channels=3).train()
    outputs = network(image(2, 3, *size))
    assert [tuple(logits.shape) for logits in outputs] == [(2, 3, *side) for side in sides]
    assert len(outputs) - 1 == len(network_class("egeunet").auxiliary_weights)


def test_one_tensor_in_eval():
    plain, x = tiny_network("egeunet"), image(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(deep()(x), plain(x))
        # No norm here knows the mode.
        assert torch.equal(deep().train()(x)[0], plain(x))


def test_every_auxiliary_head_learns_from_its_own_loss():
    network = deep().train()
    _, *auxiliary = network(image(1, 3, 64, 64))
    heads = list(reversed(network.decoder.masks))
    for logits, head in zip(auxiliary, heads, strict=True):
        network.zero_grad()
        logits.sum().backward(retain_graph=True)
        assert head.bias.grad == logits.numel()


def test_auxiliary_logits_of_a_meta_tensor():
    x = MetaTensor(image(1, 3, 40, 40), meta={"filename_or_obj": "a.png"})
    main, *auxiliary = deep().train()(x)
    assert isinstance(main, MetaTensor)
    assert main.meta["filename_or_obj"] == "a.png"
    assert all(type(logits) is torch.Tensor for logits in auxiliary)


def test_without_its_decoder_it_gives_one_tensor():
    assert replace_decoder(deep().train())(image(2, 3, 64, 64)).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (8, 8), (13, 5)])
def test_attention_on_any_map(size):
    torch.manual_seed(0)
    attention = EGEUNetGHPA(8, 12)
    output = attention(image(2, 8, *size))
    assert output.shape == (2, 12, *size)
    assert output.isfinite().all()


def test_attention_weights_along_one_axis():
    """Of four groups, the second is weighted by row and the third by column: constant along the other axis."""
    torch.manual_seed(0)
    attention = EGEUNetGHPA(8, 8)
    attention.height.data.normal_()
    attention.width.data.normal_()
    seen = []
    attention.norm2.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    attention.norm1 = torch.nn.Identity()
    attention(torch.ones(1, 8, 6, 9))
    _, rows, columns, _ = seen[0].chunk(4, dim=1)
    assert torch.equal(rows, rows[..., :1].expand_as(rows))
    assert torch.equal(columns, columns[..., :1, :].expand_as(columns))
    assert rows[..., 0].std() > 0
    assert columns[..., 0, :].std() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "egeunet is 2D: spatial_dims must be 2, got 3"),
        ({"features": (8, 16, 24, 32)}, "features must name six levels"),
        ({"features": (8, 16, 24, 30, 48, 64)}, "all multiples of 4"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network("egeunet", **arguments)
