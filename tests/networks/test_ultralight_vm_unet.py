"""UltraLight VM-UNet against a plain statement of its wiring, its start, and what is particular to it.

What every network does alike (contract, export, card) is in test_registered_networks, the authors' figures in parity.
"""

import copy
import math

import pytest
import torch
from monai.data import MetaTensor, list_data_collate
from torch import nn
from torch.nn import functional

from monai_lightseg import ops
from monai_lightseg.networks import NmODEDecoder, UltraLightVMUNet, create_network, replace_decoder
from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from tests.networks.tester import TINY, assert_near, image

# Both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
EXACT = {"rtol": 1e-9, "atol": 1e-9}
# Another order of additions in float32: measured up to 2e-6 of the largest output.
ROUNDING = 1e-5

NAME = "ultralight_vm_unet"
# Large enough to see a distribution in the weights of every layer.
WIDE = (32, 64, 96, 128, 192, 256)


def network(**arguments):
    torch.manual_seed(0)
    return create_network(NAME, **arguments).eval()


def randomised(net):
    """Scales, biases and norms away from their ones and zeros, so that none of them goes unnoticed."""
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def plain_network(net, x):
    """Level by level, with the weights of `net`; pooling, norm, activation and upsampling as functions."""
    encoder, decoder = net.encoder, net.decoder

    def norm(module, x):
        return functional.group_norm(x, 4, module.weight, module.bias, 1e-5)

    def twice(x):
        size = [2 * side for side in x.shape[2:]]
        return functional.interpolate(x, size=size, mode="bilinear", align_corners=True)

    t = []
    for i in range(5):
        x = functional.gelu(functional.max_pool2d(norm(encoder.norms[i], encoder.levels[i](x)), 2))
        t.append(x)
    # The main path goes on from before the bridge.
    x = functional.gelu(encoder.levels[5](x))
    if decoder.bridge is not None:
        t = decoder.bridge(t)
    x = functional.gelu(norm(decoder.norms[0], decoder.levels[0](x))) + t[4]
    for i in range(1, 5):
        x = functional.gelu(twice(norm(decoder.norms[i], decoder.levels[i](x)))) + t[4 - i]
    return twice(decoder.head(x))


SETTINGS = {
    "released": {},
    "two_branches_conv": {"branches": 2, "split_att": "conv"},
    "eight_branches": {"branches": 8, "in_channels": 1, "out_channels": 3},
    "one_branch_no_bridge": {"branches": 1, "bridge": False},
    "narrowing": TINY[NAME],
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("arguments", SETTINGS.values(), ids=SETTINGS)
def test_equals_the_plain_statement(arguments, training):
    net = randomised(network(**arguments)).double().train(training)
    x = image(2, net.in_channels, 64, 96).double()
    torch.testing.assert_close(net(x), plain_network(net, x), **EXACT)


def test_bridge_and_its_form_take_part():
    x = image(1, 3, 64, 64)
    released, conv, bare = (
        randomised(network(**arguments)) for arguments in ({}, {"split_att": "conv"}, {"bridge": False})
    )
    shapes = {key: value.shape for key, value in conv.state_dict().items()}
    conv.load_state_dict({key: value.reshape(shapes[key]) for key, value in released.state_dict().items()})
    without = {key: value for key, value in released.state_dict().items() if ".bridge." not in key}
    bare.load_state_dict(without, strict=True)
    with torch.no_grad():
        expected = released(x)
        assert_near(conv(x), expected, ROUNDING)
        assert (bare(x) - expected).abs().max() > 0.01 * expected.abs().max()


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [(255, 257), (100, 100), (31, 500), (1, 1)])
def test_odd_sizes(size, training):
    net = network().train(training)
    with torch.no_grad():
        output = net(image(2, 3, *size))
    assert output.shape == (2, 1, *size)
    assert output.isfinite().all()


def test_training_step_with_one_image():
    net = network().train()
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    x, target = image(1, 3, 64, 64), (image(1, 1, 64, 64, seed=2) > 0.5).float()
    start = copy.deepcopy(net.state_dict())
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(net(x), target)
        loss.backward()
        assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for key, value in net.state_dict().items():
        assert not torch.equal(value, start[key]), key


def expected_weight_std(module):
    if isinstance(module, nn.Linear):
        return 0.02
    return math.sqrt(2 / (math.prod(module.kernel_size) * module.out_channels))


def drawn_modules(net, *kinds):
    return [module for module in net.modules() if isinstance(module, kinds)]


@pytest.mark.parametrize("split_att", ["fc", "conv"])
def test_released_start_of_every_weight(split_att):
    net = network(features=WIDE, split_att=split_att)
    drawn = drawn_modules(net, nn.Linear, nn.Conv1d, nn.Conv2d)
    # Six PVM layers, each a projection and Mamba's four and its convolution; the 2D convolutions of five levels, of the
    # bridge and of the head; the bridge's mixing and five attentions.
    assert len(drawn) == 6 * (1 + 4 + 1) + (5 + 1 + 1) + (1 + 5)
    pooled = torch.cat([module.weight.detach().double().flatten() / expected_weight_std(module) for module in drawn])
    # Half a million draws: five standard deviations of a mean, of a deviation and of a fourth moment. Uniform: 1.8.
    assert len(pooled) > 500_000
    assert abs(pooled.mean()) < 0.007
    assert abs(pooled.std() - 1) < 0.005
    assert abs((pooled**4).mean() - 3) < 0.07
    for module in drawn:
        values = module.weight.detach().double() / expected_weight_std(module)
        # The same five deviations; the mixing convolution and the head, with less, are only in the pool.
        if values.numel() >= 96:
            assert abs(values.square().mean().sqrt() - 1) < 5 / math.sqrt(2 * values.numel()), module


def test_released_start_of_small_convolutions():
    torch.manual_seed(0)
    nets = [create_network(NAME, **TINY[NAME]) for _ in range(40)]
    for pick in (lambda net: net.decoder.bridge.channel.mix, lambda net: net.decoder.head):
        values = torch.cat([pick(net).weight.flatten() for net in nets]) / expected_weight_std(pick(nets[0]))
        # 120 draws or more: five deviations. As PyTorch draws them they are 0.41 and 0.2.
        assert abs(values.square().mean().sqrt() - 1) < 5 / math.sqrt(2 * 120)


@pytest.mark.parametrize("init", ["released", "mamba"])
def test_start_of_everything_else(init):
    net = network(init=init, split_att="conv")
    mambas = drawn_modules(net, LightsegMamba)
    own = {id(module) for mamba in mambas for module in mamba.modules()}
    for module in drawn_modules(net, nn.Linear, nn.Conv2d):
        if module.bias is not None and id(module) not in own:
            assert (module.bias == 0).all(), module
    for module in drawn_modules(net, nn.Conv1d):
        if module.bias is not None:
            # As PyTorch draws it.
            bound = (module.in_channels // module.groups * module.kernel_size[0]) ** -0.5
            assert 0.5 * bound < module.bias.abs().max() <= bound
            assert module.bias.unique().numel() == module.bias.numel()
    for module in drawn_modules(net, nn.GroupNorm, nn.LayerNorm):
        assert (module.weight == 1).all()
        assert (module.bias == 0).all()
    for module in drawn_modules(net, LightsegPVM):
        assert torch.equal(module.skip_scale, torch.ones(1))
    assert len(mambas) == 6
    for mamba in mambas:
        expected = torch.arange(1.0, 17).log().expand_as(mamba.A_log)
        torch.testing.assert_close(mamba.A_log, expected)
        assert (mamba.D == 1).all()


def test_released_start_of_step_sizes():
    for mamba in drawn_modules(network(), LightsegMamba):
        assert (mamba.dt_proj.bias == 0).all()


def test_start_that_leaves_mamba_its_own():
    net = network(features=WIDE, init="mamba")
    for mamba in drawn_modules(net, LightsegMamba):
        step = functional.softplus(mamba.dt_proj.bias)
        # Rounding of the float32 bias moves the ends by 1e-6.
        assert step.min() >= 1e-3 * (1 - 1e-4)
        assert step.max() <= 0.1 * (1 + 1e-4)
        for linear in (mamba.in_proj, mamba.x_proj, mamba.out_proj):
            # Uniform, as PyTorch draws a linear layer; the largest of hundreds of draws is close to the bound.
            bound = linear.in_features**-0.5
            assert 0.95 * bound < linear.weight.abs().max() <= bound
    own = {id(module) for mamba in drawn_modules(net, LightsegMamba) for module in mamba.modules()}
    redrawn = [module for module in drawn_modules(net, nn.Linear, nn.Conv2d) if id(module) not in own]
    # The projections of six PVM layers, the bridge's five attentions, and the 2D convolutions.
    assert len(redrawn) == 6 + 5 + 7
    for module in redrawn:
        values = module.weight.detach().double() / expected_weight_std(module)
        if values.numel() >= 96:
            # Five deviations of that many draws.
            assert abs(values.square().mean().sqrt() - 1) < 5 / math.sqrt(2 * values.numel()), module


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spatial_dims": 3}, "spatial_dims must be 2, got 3"),
        ({"features": (8, 16, 24, 32, 48)}, r"six levels, got \(8, 16, 24, 32, 48\)"),
        ({"features": [8, 16, 24, 32, 48, 64, 96]}, r"six levels, got \(8, 16, 24, 32, 48, 64, 96\)"),
        ({"deep_supervision": True}, "deep_supervision must be False"),
        ({"init": "kaiming"}, "'kaiming'.*'mamba'"),
        ({"split_att": "linear"}, "'linear'.*'fc'"),
        ({"branches": 3}, "multiple of branches, got 32 and 3"),
        ({"branches": 0}, "multiple of branches, got 24 and 0"),
    ],
)
def test_arguments_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        create_network(NAME, **arguments)


def test_activation_and_norm_as_named():
    net = network(act="relu", norm="batch")
    assert len(drawn_modules(net, nn.BatchNorm2d)) == 10
    assert len(drawn_modules(net, nn.ReLU)) == 2
    assert not drawn_modules(net, nn.GroupNorm, nn.GELU)
    with torch.no_grad():
        assert net.train()(image(2, 3, 64, 64)).isfinite().all()


def test_dropout_follows_every_level():
    net = randomised(network(dropout=1.0)).train()
    with torch.no_grad():
        output = net(image(2, 3, 64, 64))
    # Every level is dropped, and so every skip connection: the logits are the bias of the head.
    torch.testing.assert_close(output, net.decoder.head.bias.reshape(1, 1, 1, 1).expand_as(output))


@pytest.mark.parametrize("training", [False, True])
def test_not_a_number_stays_in_its_image(training):
    net = network().train(training)
    x = image(2, 3, 64, 96)
    spoilt = x.clone()
    spoilt[0, 1, 10, 20] = float("nan")
    with torch.no_grad():
        output = net(spoilt)
        assert output[0].isnan().any()
        assert output[1].isfinite().all()
        assert_near(output[1:], net(x[1:]), ROUNDING)


def test_double():
    net, x = randomised(network()), image(2, 3, 64, 96)
    with torch.no_grad():
        assert_near(net(x), copy.deepcopy(net).double()(x.double()), ROUNDING)


# 8 and 11 bits of a float, with an error that grows over about twenty layers: measured 0.012 and 0.0014 of the largest.
@pytest.mark.parametrize(("dtype", "share"), [(torch.bfloat16, 0.05), (torch.float16, 0.006)])
def test_autocast(dtype, share):
    net, x = network(), image(2, 3, 64, 96)
    with torch.no_grad():
        exact = net(x)
        with torch.autocast("cpu", dtype=dtype):
            output = net(x)
    assert output.dtype == dtype
    assert_near(output, exact, share)
    with torch.autocast("cpu", dtype=dtype):
        loss = net.train()(x).float().square().mean()
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize("size", [(64, 96), (33, 50)])
@pytest.mark.parametrize("training", [False, True])
def test_meta_tensors(training, size):
    """One, and a batch as MONAI's loaders collate it, which knows the names of its images."""
    net = network().train(training)
    plain = [image(3, *size, seed=seed) for seed in (1, 2)]
    images = [MetaTensor(x, meta={"filename_or_obj": f"{i}.png"}) for i, x in enumerate(plain)]
    batch = list_data_collate([{"image": x} for x in images])["image"]
    for given, names in ((batch, ["0.png", "1.png"]), (images[0][None], "0.png")):
        output = net(given)
        assert isinstance(output, MetaTensor)
        assert output.meta["filename_or_obj"] == names
        assert output.is_batch == given.is_batch
        assert torch.equal(output.as_tensor(), net(given.as_tensor()))
    assert net(batch)[1].meta["filename_or_obj"] == "1.png"
    net.zero_grad()
    net(batch).square().mean().backward()
    from_meta = {key: parameter.grad.clone() for key, parameter in net.named_parameters()}
    net.zero_grad()
    net(torch.stack(plain)).square().mean().backward()
    for key, parameter in net.named_parameters():
        torch.testing.assert_close(from_meta[key], parameter.grad, msg=key)


def test_replaced_decoder():
    net = randomised(network())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    new = replace_decoder(net, "nmode")
    assert isinstance(new, UltraLightVMUNet)
    assert isinstance(new.decoder, NmODEDecoder)
    kept = {key: value for key, value in new.state_dict().items() if key.startswith("encoder.")}
    assert kept.keys() == {key for key in before if key.startswith("encoder.")}
    assert all(torch.equal(value, before[key]) for key, value in kept.items())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    x = image(2, 3, 50, 37)
    assert new(x).shape == (2, 1, 50, 37)
    new.train()(x).square().mean().backward()
    for key, parameter in new.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key


def test_every_layer_scans_once_and_with_the_forced_back_end():
    net, x = network(), image(2, 3, 64, 96)
    batches = []

    def nothing(u, delta, A, *others):
        batches.append(u.shape)
        return torch.zeros_like(u), u.new_zeros(*A.shape)

    with torch.no_grad(), ops.scan_backend(ops.ScanBackend("nothing", nothing, lambda *_: None)):
        net(x)
    # Four branches of both images in one call, twice the width of a branch; strides 8, 16, 32, 32, 32 and 16.
    widths, pixels = (24, 32, 48, 64, 48, 32), (96, 24, 6, 6, 6, 24)
    assert batches == [(8, width // 2, length) for width, length in zip(widths, pixels, strict=True)]
