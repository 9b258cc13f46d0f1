"""The decoder against its formulas, written out step by step in float64.

rtol 1e-10: both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
"""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from monai_lightseg.networks import NmODEDecoder
from monai_lightseg.networks.blocks.few_channel_conv import few_channel_conv2d, few_channel_conv2d_pays
from monai_lightseg.networks.decoders.nmode import ORDERINGS, SOLVERS, NmODERate

EXACT = {"rtol": 1e-10, "atol": 1e-10}

every_solver = pytest.mark.parametrize("solver", SOLVERS)
every_ordering = pytest.mark.parametrize("ordering", ORDERINGS)

# name: channels, strides, output size, arguments. 28 and 40 channels take the matrix product in eval.
PYRAMIDS = {
    "three_levels": ([28, 4, 40], [1, 2, 4], (13, 17), {}),
    "one_level": ([3], [1], (6, 5), {}),
    "two_levels_from_stride_2": ([3, 5], [2, 4], (12, 10), {"kernel_size": 5}),
    "six_odd_strides": ([2, 3, 4, 5, 6, 7], [1, 2, 3, 5, 7, 11], (23, 12), {"kernel_size": 1}),
    "anisotropic": ([30, 40], [(1, 2), (1, 4)], (7, 9), {"state_channels": 1}),
    "wide_state": ([3, 4], [1, 2], (8, 8), {"state_channels": 6, "act": "relu", "out_channels": 5}),
    "3d": ([2, 3, 4], [(1, 1, 1), (1, 2, 2), (2, 4, 4)], (3, 7, 9), {"spatial_dims": 3}),
}


def build(pyramid, **more):
    channels, strides, size, arguments = PYRAMIDS[pyramid]
    arguments = {"out_channels": 2, "act": "tanh"} | arguments | more
    torch.manual_seed(0)
    decoder = NmODEDecoder(channels, strides, **arguments).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(0.7 * torch.randn_like(parameter))
        for key, buffer in decoder.named_buffers():
            if key.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer))
            if key.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    levels = []
    for count, stride in zip(channels, strides, strict=True):
        sides = [-(-side // (stride if isinstance(stride, int) else stride[i])) for i, side in enumerate(size)]
        levels.append(torch.randn(2, count, *sides, dtype=torch.float64))
    return decoder, levels, size


def naive_decoder(decoder, pyramid, size, solver, ordering, sign=1):
    """The table of formulas on the decoder's own convolutions and norms, everything at full resolution."""
    levels = pyramid[::-1]
    count = len(levels)
    d = 1 / count
    convolve = functional.conv2d if pyramid[0].ndim == 4 else functional.conv3d
    mode = "bilinear" if pyramid[0].ndim == 4 else "trilinear"

    def scalar(step, name):
        return 1.0 if step.weights is None else step.weights[step.weight_names.index(name)]

    def g(module, x):
        kernel = module.conv.weight
        z = convolve(x, kernel, module.conv.bias, padding=kernel.shape[-1] // 2)
        if ordering == "CR_B":
            z = torch.relu(z)
        if ordering == "CB_R":
            z = module.norm(z)
        return functional.interpolate(z, size=size, mode=mode, align_corners=False)

    def sigma(step, v):
        if ordering == "C_RB":
            return step.sigma.norm(torch.relu(v))
        if ordering == "C_BR":
            return torch.relu(step.sigma.norm(v))
        if ordering == "CR_B":
            return step.sigma.norm(v)
        return torch.relu(v)

    batch = pyramid[0].shape[0]
    channels = decoder.head.in_channels
    y0 = decoder.start_state.expand(batch, channels, *size)
    states = [y0]
    for i, step in enumerate(decoder.steps):
        y = scalar(step, "y") * states[-1]
        gx = g(step.g, scalar(step, "x") * levels[i])
        if solver == "heun" and i < count - 1:
            g_post = g(step.g_post, scalar(step, "x_post") * levels[i + 1])
            k = -y + sigma(step, y + gx)
            y = (1 - d / 2) * y + d / 2 * ((1 - d) * k + sigma(step, y + d * k + g_post))
        elif solver == "multistep" and i > 0:
            y_pre = scalar(step, "y_pre") * states[-2]
            y = y_pre + sign * 2 * d * y + 2 * d * sigma(step, y + gx)
        else:
            y = (1 - d) * y + d * sigma(step, y + gx)
        if i < count - 1:
            y = decoder.act(y)
        states.append(y)
    return decoder.head(states[-1])


def assert_equals_formulas(decoder, levels, size, solver, ordering, sign=1):
    twin = copy.deepcopy(decoder)
    inputs = [level.clone().requires_grad_() for level in levels]
    twin_inputs = [level.clone().requires_grad_() for level in levels]
    output = decoder(inputs, size)
    expected = naive_decoder(twin, twin_inputs, size, solver, ordering, sign)
    assert output.shape[2:] == size
    torch.testing.assert_close(output, expected, **EXACT)
    output.square().sum().backward()
    expected.square().sum().backward()
    for (key, parameter), other in zip(decoder.named_parameters(), twin.parameters(), strict=True):
        assert parameter.grad is not None, key
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-9, atol=1e-9, msg=key)
    for level, other in zip(inputs, twin_inputs, strict=True):
        torch.testing.assert_close(level.grad, other.grad, rtol=1e-9, atol=1e-9)
    for (key, buffer), other in zip(decoder.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(buffer, other, msg=key, **EXACT)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("learnable", [False, True])
@pytest.mark.parametrize("pyramid", PYRAMIDS)
@every_ordering
@every_solver
def test_equals_the_formulas(solver, ordering, pyramid, learnable, training):
    decoder, levels, size = build(
        pyramid, solver=solver, ordering=ordering, learnable_weights=learnable, learnable_start=learnable
    )
    assert_equals_formulas(decoder.train(training), levels, size, solver, ordering)


@pytest.mark.parametrize("training", [False, True])
@every_ordering
def test_midpoint_form(ordering, training):
    decoder, levels, size = build("three_levels", solver="multistep", ordering=ordering, multistep_form="midpoint")
    assert_equals_formulas(decoder.train(training), levels, size, "multistep", ordering, sign=-1)


@pytest.mark.parametrize("training", [False, True])
def test_multistep_forms_differ_by_the_sign_alone(training):
    released, levels, size = build("three_levels", solver="multistep")
    midpoint, _, _ = build("three_levels", solver="multistep", multistep_form="midpoint")
    a, b = (decoder.train(training).steps[1] for decoder in (released, midpoint))
    y_pre, y = torch.randn(2, 2, 3, *size, dtype=torch.float64)
    difference = a(y_pre, y, levels[1], size) - b(y_pre, y, levels[1], size)
    torch.testing.assert_close(difference, 4 / 3 * y, **EXACT)


@pytest.mark.parametrize("training", [False, True])
@every_ordering
def test_euler_is_explicit_euler_of_the_equation(ordering, training):
    """y' = -y + f(y + g(x)) with 1 / levels as the time step; a leaky ReLU of slope 1 is no activation."""
    identity = ("leakyrelu", {"negative_slope": 1.0})
    decoder, levels, size = build("three_levels", solver="euler", ordering=ordering, act=identity)
    decoder.train(training)
    twin = copy.deepcopy(decoder)
    y = torch.zeros(2, 3, *size, dtype=torch.float64)
    for step, level in zip(twin.steps, reversed(levels), strict=True):
        gx = functional.interpolate(step.g(level), size=size, mode="bilinear")
        y = y + (-y + step.sigma(y + gx)) / 3
    torch.testing.assert_close(decoder(levels, size), twin.head(y), **EXACT)


def test_running_statistics_of_heun_move_twice():
    decoder, levels, size = build("three_levels", solver="heun")
    decoder.train()(levels, size)
    assert [step.sigma.norm.num_batches_tracked.item() for step in decoder.steps] == [2, 2, 1]


@every_solver
def test_collapsed_eval_has_the_numbers_of_the_long_way(solver, monkeypatch):
    decoder, levels, size = build("three_levels", solver=solver, ordering="CR_B")
    decoder.eval()
    short = decoder(levels, size)
    assert all(step.collapses() for step in decoder.steps)
    for step in decoder.steps:
        monkeypatch.setattr(step, "collapses", lambda: False)
    torch.testing.assert_close(short, decoder(levels, size), **EXACT)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 90),
    out=st.integers(1, 4),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    border=st.integers(0, 2),
)
def test_few_channel_convolution_equals_convolution(batch, channels, out, height, width, border):
    generator = torch.Generator().manual_seed(channels)

    def random(*shape):
        return torch.randn(shape, dtype=torch.float64, generator=generator)

    kernel = 2 * border + 1
    x, weight, bias = random(batch, channels, height, width), random(out, channels, kernel, kernel), random(out)
    expected = functional.conv2d(x, weight, bias, padding=border)
    torch.testing.assert_close(few_channel_conv2d(x, weight, bias), expected, **EXACT)
    assert few_channel_conv2d_pays(x, weight) is (border > 0 and out * kernel**2 <= channels)


def test_few_channel_convolution_pays_in_two_dimensions_eager_only():
    x, weight = torch.zeros(1, 40, 4, 4), torch.zeros(3, 40, 3, 3)
    assert few_channel_conv2d_pays(x, weight)
    assert not few_channel_conv2d_pays(x.to("meta"), weight.to("meta"))
    assert not few_channel_conv2d_pays(torch.zeros(1, 99, 4, 4, 4), torch.zeros(3, 99, 3, 3, 3))
    seen = []

    def backend(graph, inputs):
        seen.extend(node.target.__name__ for node in graph.graph.nodes if node.op == "call_function")
        return graph.forward

    decoder = NmODEDecoder([40], [1], 1).eval()
    with torch.no_grad():
        torch.compile(decoder, backend=backend)([torch.zeros(1, 40, 4, 4)], (4, 4))
    assert not any("matmul" in name for name in seen)
    assert any("conv" in name for name in seen)


@every_solver
def test_start_and_weights_learn(solver):
    decoder, levels, size = build("three_levels", solver=solver, learnable_start=True, learnable_weights=True)
    learned = {
        key: value.clone() for key, value in decoder.named_parameters() if "weights" in key or key == "start_state"
    }
    assert len(learned) == 4
    optimiser = torch.optim.SGD(decoder.parameters(), lr=0.01)
    for _ in range(2):
        optimiser.zero_grad()
        decoder.train()(levels, size).square().mean().backward()
        optimiser.step()
    for key, parameter in decoder.named_parameters():
        if key in learned:
            assert (parameter != learned[key]).all(), key


def test_start_and_weights_are_constant_unless_asked_for():
    decoder = NmODEDecoder([3, 4], [1, 2], 1)
    assert not [key for key in decoder.state_dict() if "weights" in key or "start" in key]
    learnable = NmODEDecoder([3, 4], [1, 2], 1, learnable_start=True, learnable_weights=True)
    assert (learnable.start_state == 0).all()
    assert all((step.weights == 1).all() for step in learnable.steps)


@pytest.mark.parametrize("training", [False, True])
@every_ordering
@every_solver
def test_state_is_float32_under_bfloat16(solver, ordering, training):
    decoder, levels, size = build("three_levels", solver=solver, ordering=ordering)
    decoder.float().train(training)
    states = []
    decoder.dropout.register_forward_pre_hook(lambda module, inputs: states.append(inputs[0].dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = decoder([level.bfloat16() for level in levels], size)
    assert states == [torch.float32] * 3
    assert output.isfinite().all()


@pytest.mark.parametrize("training", [False, True])
@every_ordering
@every_solver
def test_bfloat16_weights_run(solver, ordering, training):
    decoder, levels, size = build("three_levels", solver=solver, ordering=ordering)
    decoder.bfloat16().train(training)
    states = []
    decoder.dropout.register_forward_pre_hook(lambda module, inputs: states.append(inputs[0].dtype))
    output = decoder([level.bfloat16() for level in levels], size)
    assert states == [torch.float32] * 3
    assert output.dtype == torch.bfloat16
    assert output.isfinite().all()


def test_norm_of_a_bfloat16_network_runs_in_float32():
    rate = NmODERate(2, 3, "CR_B").eval()
    with torch.no_grad():
        for values in (rate.norm.weight, rate.norm.bias, rate.norm.running_mean, rate.norm.running_var):
            values.uniform_(0.5, 1.5)
    rate.bfloat16()
    twin = copy.deepcopy(rate).float()
    v = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(rate(v), twin(v), rtol=0, atol=0)
    for ours, expected in zip(rate.affine(4), twin.affine(4), strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)


def test_batch_statistics_of_a_norm_left_in_train_mode():
    decoder, levels, size = build("three_levels")
    decoder.eval()
    for step in decoder.steps:
        step.sigma.norm.train()
    output = decoder(levels, size)
    assert all(step.sigma.norm.num_batches_tracked == 1 for step in decoder.steps)
    torch.testing.assert_close(output, decoder.train()(levels, size), **EXACT)


def test_dropout_follows_every_step():
    decoder, levels, size = build("three_levels", dropout=1.0)
    output = decoder.train()(levels, size)
    # Every state is dropped, so the logits are the bias of the head.
    expected = decoder.head.bias.reshape(1, -1, 1, 1).expand_as(output)
    torch.testing.assert_close(output, expected, **EXACT)


@pytest.mark.parametrize(("out_channels", "state_channels"), [(1, 3), (3, 3), (5, 5)])
def test_default_state_channels(out_channels, state_channels):
    assert NmODEDecoder([4], [1], out_channels).head.in_channels == state_channels


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"solver": "euller"}, "did you mean 'euler'"),
        ({"ordering": "CRB"}, "CR_B"),
        ({"multistep_form": "paper"}, "midpoint"),
        ({"kernel_size": 4}, "kernel_size must be odd and positive, got 4"),
        ({"encoder_channels": [], "encoder_strides": []}, "one entry per level, got 0 and 0"),
        ({"encoder_strides": [1]}, "one entry per level, got 2 and 1"),
        ({"encoder_strides": [2, 1]}, "shallow to deep"),
        ({"encoder_strides": [(1, 2), (2, 1)]}, "shallow to deep"),
    ],
)
def test_wrong_arguments(arguments, message):
    good = {"encoder_channels": [4, 8], "encoder_strides": [1, 2], "out_channels": 1}
    with pytest.raises(ValueError, match=message):
        NmODEDecoder(**(good | arguments))


def test_wrong_number_of_levels():
    with pytest.raises(ValueError, match="built for 2 levels, the pyramid has 1"):
        NmODEDecoder([4, 8], [1, 2], 1)([torch.zeros(1, 4, 4, 4)], (4, 4))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"spatial_dims": 1}, "spatial_dims must be 2 or 3"),
        ({"kernel_size": -1}, "kernel_size must be odd and positive"),
        ({"state_channels": 0}, "must be positive"),
    ],
)
def test_senseless_arguments(arguments, said):
    with pytest.raises(ValueError, match=said):
        NmODEDecoder([4, 8], [1, 2], 1, **arguments)
