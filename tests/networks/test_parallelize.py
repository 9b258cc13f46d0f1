"""parallelize on every network: base blocks become PVM layers, the rest keeps its values, the given one stays."""

import pytest
import torch
from monai.networks.nets import BasicUNet, FlexibleUNet
from torch import nn

from monai_lightseg.networks import (
    create_network,
    list_networks,
    network_class,
    parallelize,
    replace_decoder,
)
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.profiling import count_macs_thop, count_parameters
from tests.networks.test_surgery import nnunet_host
from tests.networks.tester import fitting_shape, image, tiny_network

WITH_BLOCKS = [name for name in list_networks() if network_class(name).base_block is not None]
every_network = pytest.mark.parametrize("name", WITH_BLOCKS)


def layers_of(network):
    return {name: module for name, module in network.named_modules() if isinstance(module, LightsegPVM)}


def tensors_of(network):
    """By name, each once: nnU-Net's decoder holds a second reference to the encoder."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def assert_only_layers_differ(new, given):
    """Every tensor outside of the new layers is the given one's, by name and value, in memory of its own."""
    layers = tuple(f"{name}." for name in layers_of(new))
    assert layers
    before, after = tensors_of(given), tensors_of(new)
    kept = 0
    for key, tensor in after.items():
        if not key.startswith(layers):
            assert torch.equal(tensor, before[key]), key
            assert tensor.data_ptr() != before[key].data_ptr() or tensor.numel() == 0, key
            kept += 1
    # What is gone lay where a layer, or the Sequential of pooling and layer, stands now.
    for key in before.keys() - after.keys():
        assert key.startswith(tuple(layer.removesuffix("1.") for layer in layers)), key
    assert kept


def test_every_network_but_one_has_a_base_block():
    assert set(list_networks()) - set(WITH_BLOCKS) == {"ultralight_vm_unet"}


@every_network
def test_only_blocks_are_replaced(name):
    given = tiny_network(name, out_channels=2)
    before = {key: tensor.clone() for key, tensor in given.state_dict().items()}
    new = parallelize(given, branches=2)
    assert type(new) is type(given)
    assert not new.training
    assert all(layer.branches == 2 for layer in layers_of(new).values())
    assert_only_layers_differ(new, given)
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.add_(1)
    assert all(torch.equal(tensor, before[key]) for key, tensor in given.state_dict().items())


@every_network
def test_any_size_and_training(name):
    new = parallelize(tiny_network(name, out_channels=2), branches=2)
    with torch.no_grad():
        output = new(image(1, 3, 45, 33))
    assert output.shape == (1, 2, 45, 33)
    assert output.isfinite().all()
    new.train()(image(*fitting_shape(new))).square().mean().backward()
    for key, parameter in new.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


@every_network
def test_with_another_decoder(name):
    """Both operations in a row, in either order, give a network of the same shapes."""
    given = tiny_network(name)
    for network in (
        parallelize(replace_decoder(given), branches=2),
        replace_decoder(parallelize(given, branches=2)),
    ):
        assert any(name.startswith("encoder.") for name in layers_of(network))
        with torch.no_grad():
            assert network(image(1, 3, 40, 40)).shape == (1, 1, 40, 40)


@pytest.mark.parametrize(
    ("name", "layers", "parameters", "macs_thop"),
    [("malunet", 6, 128_161, 0.074e9), ("egeunet", 6, 51_944, 0.0715e9)],
)
def test_rows_of_the_paper(name, layers, parameters, macs_thop):
    """Table 4 prints 0.128 M and 0.074 G, 0.052 M and 0.071 G; the second is 0.0716 G, cut and not rounded."""
    new = parallelize(create_network(name))
    assert len(layers_of(new)) == layers
    assert count_parameters(new) == parameters
    assert count_macs_thop(new) == pytest.approx(macs_thop, rel=3e-3)


def test_the_block_that_reads_the_image_stays():
    new = parallelize(create_network("unet_bilinear", in_channels=4, features=(4, 8, 8)))
    assert "encoder.levels.0" not in layers_of(new)
    assert [name for name in layers_of(new) if name.startswith("encoder")] == ["encoder.levels.1", "encoder.levels.2"]
    assert len(layers_of(new)) == 4


def test_auxiliary_outputs_stay():
    new = parallelize(tiny_network("egeunet", deep_supervision=True)).train()
    sides = [logits.shape[-1] for logits in new(image(1, 3, 64, 64))]
    assert sides == [64, 32, 16, 8, 4, 2]


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_type_are_kept(training):
    given = tiny_network("malunet").double().train(training)
    new = parallelize(given)
    assert all(module.training is training for module in new.modules())
    assert all(module.training is training for module in given.modules())
    assert {parameter.dtype for parameter in new.parameters()} == {torch.float64}


def block_class(module, name):
    return getattr(pytest.importorskip(module), name)


HOSTS = {
    "basic_unet": lambda: (BasicUNet(2, 3, 2, features=(4, 4, 8, 8, 8, 4)), None, (1, 3, 32, 48)),
    "basic_unet_3d": lambda: (BasicUNet(3, 1, 2, features=(4, 4, 8, 8, 8, 4)), None, (1, 1, 16, 16, 32)),
    "flexible_unet": lambda: (FlexibleUNet(3, 2, "efficientnet-b0"), None, (1, 3, 32, 64)),
    "plain": lambda: (nnunet_host("PlainConvUNet", 2, (), (1, 2, 2), 1).network, None, (1, 1, 16, 24)),
    "residual_3d": lambda: (
        nnunet_host("ResidualEncoderUNet", 3, (), ((1, 1, 1), (1, 2, 2), (2, 2, 2)), 1).network,
        None,
        (1, 1, 4, 16, 16),
    ),
    "smp": lambda: (
        block_class("segmentation_models_pytorch", "Unet")("resnet18", encoder_weights=None, classes=2),
        block_class("torchvision.models.resnet", "BasicBlock"),
        (1, 3, 64, 32),
    ),
    "timm": lambda: (
        pytest.importorskip("timm").create_model("resnet18", features_only=True),
        block_class("timm.models.resnet", "BasicBlock"),
        (1, 3, 64, 32),
    ),
}


@pytest.mark.parametrize("host", HOSTS)
def test_networks_of_other_libraries(host):
    given, block, shape = HOSTS[host]()
    given.eval()
    new = parallelize(given, branches=2, block=block)
    assert_only_layers_differ(new, given)
    with torch.no_grad():
        before, after = (network(image(*shape)) for network in (given, new))
    if isinstance(before, torch.Tensor):
        before, after = [before], [after]
    assert [level.shape for level in after] == [level.shape for level in before]


def test_a_network_of_such_layers():
    with pytest.raises(ValueError, match="UltraLightVMUNet has no base block of its own to replace: say block="):
        parallelize(tiny_network("ultralight_vm_unet"))


def test_a_class_that_is_not_there():
    with pytest.raises(ValueError, match="MALUNet holds no Conv3d that could be replaced"):
        parallelize(tiny_network("malunet"), block=nn.Conv3d)


@pytest.mark.parametrize("branches", [0, 3, 2.0])
def test_channels_that_do_not_split(branches):
    with pytest.raises(ValueError, match=rf"levels\.1 takes 4 channels, which do not split into {branches} branches"):
        parallelize(tiny_network("unet_bilinear"), branches=branches)


def test_a_name_for_a_class():
    with pytest.raises(ValueError, match="block must be a class of modules, got 'MALUNetDGA'"):
        parallelize(tiny_network("malunet"), block="MALUNetDGA")


def test_fixed_image_size():
    network = pytest.importorskip("timm").create_model("vit_tiny_patch16_224", features_only=True)
    with pytest.raises(ValueError, match=r"does not run on an image of \[32, 32\]: Input height"):
        parallelize(network, block=nn.Linear)


def test_blocks_that_no_layer_can_replace():
    network = pytest.importorskip("segmentation_models_pytorch").Unet("resnet18", encoder_weights=None)
    with pytest.raises(ValueError, match="more than one map"):
        parallelize(network, block=type(network.decoder.blocks[0]))
    with pytest.raises(ValueError, match="up enlarges its map"):
        parallelize(tiny_network("unet_bilinear"), block=nn.Upsample)


def test_unsupported_network():
    with pytest.raises(ValueError, match=r"no adapter for torch\.nn\.modules\.linear\.Linear"):
        parallelize(nn.Linear(2, 2))
