"""replace_decoder on every family of hosts: the encoder survives with its values, the host stays as it was."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from monai.networks.nets import BasicUNet, FlexibleUNet
from torch import nn

from monai_lightseg.networks import NmODEDecoder, create_network, list_networks, replace_decoder
from tests.networks.tester import FIXED_STEPS, TINY, image


@dataclass
class Host:
    """A network to operate on; `dropped` are the prefixes of what is not its encoder."""

    network: nn.Module
    size: tuple[int, ...]
    dropped: tuple[str, ...] = ("decoder.", "segmentation_head.")
    encoder_prefix: str = "encoder."
    in_channels: int = 3
    arguments: dict[str, Any] = field(default_factory=dict)


def nnunet_host(kind, spatial_dims, size, strides, in_channels):
    architectures = pytest.importorskip("dynamic_network_architectures.architectures.unet")
    conv = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    norm = nn.InstanceNorm2d if spatial_dims == 2 else nn.InstanceNorm3d
    blocks = "n_blocks_per_stage" if kind == "ResidualEncoderUNet" else "n_conv_per_stage"
    network = getattr(architectures, kind)(
        input_channels=in_channels,
        n_stages=3,
        features_per_stage=(4, 6, 8),
        conv_op=conv,
        kernel_sizes=3,
        strides=strides,
        num_classes=2,
        n_conv_per_stage_decoder=1,
        conv_bias=True,
        norm_op=norm,
        norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
        **{blocks: 1},
    )
    # nnU-Net's decoder holds a second reference to the encoder.
    return Host(network, size, in_channels=in_channels)


def basic_unet(spatial_dims, size):
    network = BasicUNet(spatial_dims=spatial_dims, in_channels=3, out_channels=2, features=(4, 4, 6, 6, 8, 4))
    return Host(network, size, dropped=("upcat", "final_conv."), encoder_prefix="")


def smp_host(kind, encoder, depth=5):
    smp = pytest.importorskip("segmentation_models_pytorch")
    return Host(getattr(smp, kind)(encoder, encoder_weights=None, encoder_depth=depth, classes=2), (45, 33))


def timm_host(name, size=(45, 33), **arguments):
    timm = pytest.importorskip("timm")
    network = timm.create_model(name, features_only=True, pretrained=False, **arguments)
    return Host(network, size, encoder_prefix="", arguments={"out_channels": 2})


ANISOTROPIC = ((1, 1, 1), (1, 2, 2), (2, 2, 2))

HOSTS = {
    **{
        name: lambda name=name: Host(
            create_network(name, **TINY[name], **FIXED_STEPS.get(name, {}), out_channels=2), (17, 13)
        )
        for name in list_networks()
    },
    "plain_2d": lambda: nnunet_host("PlainConvUNet", 2, (17, 13), (1, 2, 2), 1),
    "plain_2d_anisotropic": lambda: nnunet_host("PlainConvUNet", 2, (17, 13), ((1, 1), (2, 1), (2, 2)), 4),
    "plain_3d": lambda: nnunet_host("PlainConvUNet", 3, (5, 9, 7), ANISOTROPIC, 1),
    "residual_2d": lambda: nnunet_host("ResidualEncoderUNet", 2, (17, 13), (1, 2, 2), 3),
    "residual_3d": lambda: nnunet_host("ResidualEncoderUNet", 3, (5, 9, 7), ANISOTROPIC, 1),
    "basic_unet_2d": lambda: basic_unet(2, (33, 20)),
    "basic_unet_3d": lambda: basic_unet(3, (33, 17, 18)),
    "flexible_unet": lambda: Host(FlexibleUNet(3, 2, "efficientnet-b0"), (45, 33)),
    "smp_resnet18": lambda: smp_host("Unet", "resnet18"),
    "smp_fpn_depth_4": lambda: smp_host("FPN", "resnet18", depth=4),
    "smp_mit_b0": lambda: smp_host("Unet", "mit_b0"),
    "smp_deeplabv3plus": lambda: smp_host("DeepLabV3Plus", "resnet18"),
    "timm_resnet18": lambda: timm_host("resnet18"),
    "timm_convnext_atto": lambda: timm_host("convnext_atto"),
    "timm_swin": lambda: timm_host(
        "swin_tiny_patch4_window7_224",
        img_size=64,
        embed_dim=12,
        depths=(1, 1, 1),
        num_heads=(1, 2, 3),
        size=(64, 64),
        window_size=4,
    ),
}
every_host = pytest.mark.parametrize("host", HOSTS)


def build(host):
    torch.manual_seed(0)
    host = HOSTS[host]()
    host.network.eval()
    return host


def encoder_tensors(host):
    """Names without the encoder's prefix -> tensors of the host's encoder."""
    return {
        key.removeprefix(host.encoder_prefix): tensor
        for key, tensor in host.network.state_dict().items()
        if not key.startswith(host.dropped)
    }


def fitting(host, new, batch=1):
    """A host input that the host itself can take: sides that are multiples."""
    sides = [-(-side // multiple) * multiple for side, multiple in zip(host.size, new.size_multiple, strict=True)]
    return image(batch, host.in_channels, *sides)


@every_host
def test_encoder_survives_and_host_is_untouched(host):
    host = build(host)
    before = {key: tensor.clone() for key, tensor in host.network.state_dict().items()}
    new = replace_decoder(host.network, **host.arguments)
    x = fitting(host, new)
    with torch.no_grad():
        host_output = host.network(x)
    kept = {key.removeprefix("model."): tensor for key, tensor in new.encoder.state_dict().items()}
    expected = encoder_tensors(host)
    assert sorted(kept) == sorted(expected)
    assert expected
    for key, tensor in expected.items():
        assert torch.equal(kept[key], tensor), key
        assert kept[key].data_ptr() != tensor.data_ptr() or tensor.numel() == 0, key
    with torch.no_grad():
        for parameter in new.parameters():
            parameter.add_(1)
        again = host.network(x)
    for key, tensor in host.network.state_dict().items():
        assert torch.equal(tensor, before[key]), key
    first, second = (output if isinstance(output, list) else [output] for output in (host_output, again))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@every_host
def test_odd_size_forward_and_backward(host):
    host = build(host)
    new = replace_decoder(host.network, **host.arguments)
    assert isinstance(new.decoder, NmODEDecoder)
    assert new.out_channels == 2
    x = image(1, host.in_channels, *host.size)
    with torch.no_grad():
        output = new(x)
    assert output.shape == (1, 2, *host.size)
    assert output.isfinite().all()
    # The facts told of the encoder hold.
    with torch.no_grad():
        pyramid = new.encode(fitting(host, new))
    sides = fitting(host, new).shape[2:]
    for level, channels, strides in zip(pyramid, new.encoder_channels, new.encoder_strides, strict=True):
        assert level.shape[1] == channels
        assert tuple(level.shape[2:]) == tuple(side // stride for side, stride in zip(sides, strides, strict=True))
    new.train()(image(2, host.in_channels, *host.size)).square().mean().backward()
    for key, parameter in new.decoder.named_parameters():
        assert parameter.grad is not None, key
    first = next(new.encoder.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


@every_host
def test_export(host):
    host = build(host)
    new = replace_decoder(host.network, **host.arguments).eval()
    x = image(1, host.in_channels, *host.size)
    with torch.no_grad():
        program = torch.export.export(new, (x,))
        torch.testing.assert_close(program.module()(x), new(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_mode_is_kept(training):
    network = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4)).train(training)
    new = replace_decoder(network)
    assert all(module.training is training for module in new.modules())
    assert all(module.training is training for module in network.modules())


def test_finding_the_channels_leaves_no_trace():
    network = FlexibleUNet(3, 2, "efficientnet-b0").train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    new = replace_decoder(network)
    assert all(module.training for module in network.modules())
    assert all(module.training for module in new.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_decoder_follows_dtype_and_device():
    network = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4)).double()
    assert {parameter.dtype for parameter in replace_decoder(network).parameters()} == {torch.float64}
    new = replace_decoder(network.to("meta"))
    assert {tensor.device.type for tensor in (*new.parameters(), *new.decoder.buffers())} == {"meta"}


def test_out_channels_asked_for_win():
    network = BasicUNet(spatial_dims=2, features=(4, 4, 4, 4, 4, 4), out_channels=2)
    assert replace_decoder(network, out_channels=5)(image(2, 1, 32, 32)).shape[1] == 5


def test_out_channels_are_demanded_where_there_is_no_head():
    timm = pytest.importorskip("timm")
    network = timm.create_model("convnext_atto", features_only=True, pretrained=False)
    with pytest.raises(ValueError, match=r"say out_channels="):
        replace_decoder(network)


def test_decoder_arguments_arrive():
    network = create_network("unet_bilinear", features=(4, 8))
    new = replace_decoder(
        network,
        solver="heun",
        ordering="CB_R",
        state_channels=7,
        kernel_size=5,
        act="relu",
        dropout=0.25,
        learnable_start=True,
        learnable_weights=True,
    )
    assert new.decoder.head.in_channels == 7
    assert new.decoder.steps[0].g_post.conv.kernel_size == (5, 5)
    assert isinstance(new.decoder.steps[0].g.norm, nn.BatchNorm2d)
    assert isinstance(new.decoder.act, nn.ReLU)
    assert new.decoder.dropout.p == 0.25
    assert "decoder.start_state" in new.state_dict()
    assert new.decoder.steps[0].weights.shape == (3,)
    midpoint = replace_decoder(network, solver="multistep", multistep_form="midpoint")
    assert midpoint.decoder.steps[1].sign == -1


def test_surgery_twice_changes_the_solver():
    once = replace_decoder(create_network("unet_bilinear", features=(4, 8)))
    twice = replace_decoder(once, solver="heun")
    assert type(twice.decoder.steps[0]).__name__ == "HeunStep"
    assert torch.equal(twice.encoder.levels[0].conv1.weight, once.encoder.levels[0].conv1.weight)


@pytest.mark.parametrize("spatial_dims", [2, 3])
@torch.no_grad()
def test_instance_norm_over_a_single_bottleneck_pixel(spatial_dims):
    host = nnunet_host("PlainConvUNet", spatial_dims, (), (1, 2, 2), 1)
    new = replace_decoder(host.network).eval()
    for side in (1, 3, 4):
        x = image(1, 1, *(side,) * spatial_dims)
        assert new(x).isfinite().all()
        assert new(x).shape == (1, 2, *x.shape[2:])


@torch.no_grad()
def test_instance_norm_exports_with_a_single_bottleneck_pixel():
    """The second bottleneck pixel is added by arithmetic on the sides, so a graph traced at another size has it too."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    new = replace_decoder(nnunet_host("PlainConvUNet", 2, (), (1, 2, 2), 1).network).eval()
    shapes = ({0: "batch", 2: "height", 3: "width"},)
    program = torch.onnx.export(new, (image(2, 1, 16, 20),), dynamo=True, dynamic_shapes=shapes, verbose=False)
    session = runtime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for size in ((4, 4), (1, 1), (4, 5), (9, 3)):
        x = image(1, 1, *size)
        output = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])
        torch.testing.assert_close(output, new(x), rtol=1e-4, atol=1e-4)


def test_unsupported_network():
    with pytest.raises(ValueError, match=r"no adapter for torch.*Sequential.*PlainConvUNet.*BasicUNet.*features_only"):
        replace_decoder(nn.Sequential(nn.Conv2d(3, 4, 3)))


def test_timm_model_without_features_only():
    timm = pytest.importorskip("timm")
    with pytest.raises(ValueError, match="features_only=True"):
        replace_decoder(timm.create_model("convnext_atto", pretrained=False), out_channels=1)


def test_unknown_decoder():
    with pytest.raises(ValueError, match="nmode"):
        replace_decoder(create_network("unet_bilinear", features=(4, 8)), "nmod")
