"""The Mamba block against its recurrence written out token by token, and what it starts from."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from monai_lightseg.networks.blocks.mamba import LightsegMamba
from tests.networks.tester import assert_near

# Both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
EXACT = {"rtol": 1e-10, "atol": 1e-10}
# The same numbers summed in another order in float32, whose rounding is 1e-7.
ROUNDING = 1e-5

SIZES = {
    "defaults": {"d_model": 6},
    "rank_2": {"d_model": 20},
    "all_others": {"d_model": 5, "d_state": 3, "d_conv": 2, "expand": 3, "dt_rank": 4},
    "one_of_each": {"d_model": 1, "d_state": 1, "d_conv": 1, "expand": 1},
}


def block(d_model=6, **arguments):
    """A block whose parameters are all away from what they start from."""
    torch.manual_seed(0)
    made = LightsegMamba(d_model, **arguments)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return made


def tokens(*shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def naive_mamba(weights, h):
    """h (B, L, d_model) through the block of this state dict, one token after the other."""
    decay = -weights["A_log"].exp()
    inner, states = decay.shape
    rank = weights["dt_proj.weight"].shape[1]
    kernel = weights["conv1d.weight"].squeeze(1)
    taps = kernel.shape[1]
    x, z = (h @ weights["in_proj.weight"].T).split(inner, dim=2)
    state = h.new_zeros(h.shape[0], inner, states)
    outputs = []
    for t in range(h.shape[1]):
        # The last tap is that of the token itself.
        past = [x[:, t - age] * kernel[:, taps - 1 - age] for age in range(min(taps, t + 1))]
        u = functional.silu(sum(past) + weights["conv1d.bias"])
        projected = u @ weights["x_proj.weight"].T
        dt, into, out_of = projected[:, :rank], projected[:, rank : rank + states], projected[:, rank + states :]
        delta = functional.softplus(dt @ weights["dt_proj.weight"].T + weights["dt_proj.bias"])
        state = (delta[:, :, None] * decay).exp() * state + (delta * u)[:, :, None] * into[:, None, :]
        y = (state * out_of[:, None, :]).sum(2) + weights["D"] * u
        outputs.append((y * functional.silu(z[:, t])) @ weights["out_proj.weight"].T)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("length", [1, 2, 37])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_equals_the_recurrence(sizes, length):
    made = block(**sizes).double()
    twin = {key: value.detach().clone().requires_grad_() for key, value in made.state_dict().items()}
    h = tokens(2, length, sizes["d_model"]).double().requires_grad_()
    other = h.detach().clone().requires_grad_()
    output, expected = made(h), naive_mamba(twin, other)
    assert output.dtype == torch.float64
    torch.testing.assert_close(output, expected, **EXACT)
    output.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(h.grad, other.grad, **EXACT)
    for key, parameter in made.named_parameters():
        torch.testing.assert_close(parameter.grad, twin[key].grad, msg=lambda text, key=key: f"{key}: {text}", **EXACT)


@pytest.mark.parametrize(("d_model", "rank"), [(1, 1), (16, 1), (17, 2), (64, 4)])
def test_rank_is_a_sixteenth_rounded_up(d_model, rank):
    assert LightsegMamba(d_model).dt_proj.in_features == rank


def test_start():
    made = LightsegMamba(24)
    torch.testing.assert_close(made.A_log, torch.tensor([math.log(n) for n in range(1, 17)]).expand(48, 16))
    assert torch.equal(made.D, torch.ones(48))
    assert [key for key, _ in made.named_parameters() if key.endswith("bias")] == ["conv1d.bias", "dt_proj.bias"]


@pytest.mark.parametrize("dt_rank", [1, 4, 25])
def test_start_of_the_step_size_projection(dt_rank):
    torch.manual_seed(0)
    weight = LightsegMamba(500, dt_rank=dt_rank).dt_proj.weight
    bound = dt_rank**-0.5
    # Of 1000 or more uniform draws none is in the last 1% before a bound with a chance of e^-5, and the seed is fixed.
    assert 0.99 * bound < weight.max() <= bound
    assert -bound <= weight.min() < -0.99 * bound


@pytest.mark.parametrize(("dt_min", "dt_max"), [(1e-3, 0.1), (0.01, 1.0)])
def test_step_sizes_start_evenly_in_the_logarithm(dt_min, dt_max):
    torch.manual_seed(0)
    bias = LightsegMamba(1000, dt_rank=1, dt_min=dt_min, dt_max=dt_max).dt_proj.bias.double()
    place = functional.softplus(bias).log().sub(math.log(dt_min)).div(math.log(dt_max / dt_min))
    # The bias is float32: its rounding moves the ends by 1e-6.
    assert place.min() >= -1e-5
    assert place.max() <= 1 + 1e-5
    # 2000 draws: the share below each tenth has a standard deviation of 0.011 at most.
    for share in torch.arange(0.1, 1, 0.1):
        assert abs((place < share).double().mean() - share) < 0.045


def test_default_step_sizes():
    default, named = (
        (torch.manual_seed(0), LightsegMamba(8, **sizes))[1] for sizes in ({}, {"dt_min": 1e-3, "dt_max": 0.1})
    )
    assert torch.equal(default.dt_proj.bias, named.dt_proj.bias)


def test_smallest_step_size():
    step = functional.softplus(LightsegMamba(8, dt_min=1e-7, dt_max=1e-5).dt_proj.bias)
    torch.testing.assert_close(step, torch.full_like(step, 1e-4))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), length=st.integers(1, 50))
def test_no_token_changes_what_comes_before_it(data, length):
    t = data.draw(st.integers(0, length - 1))
    made = block(5)
    h = tokens(2, length, 5)
    changed = h.clone()
    changed[:, t] += 1
    with torch.no_grad():
        before, after = made(h), made(changed)
    # The same operations on the same numbers: nothing may differ.
    assert torch.equal(before[:, :t], after[:, :t])
    assert (before[:, t] != after[:, t]).all()


def test_first_token_reaches_the_last():
    made = block(5).double()
    h = tokens(1, 40, 5).double().requires_grad_()
    made(h)[:, -1].sum().backward()
    # Further than the four taps of the convolution see.
    assert (h.grad[:, 0] != 0).all()


def test_sequences_of_a_batch_do_not_mix():
    made = block()
    h = tokens(3, 11, 6)
    with torch.no_grad():
        assert_near(made(h), torch.cat([made(h[i : i + 1]) for i in range(3)]), ROUNDING)


def test_float32_is_near_float64():
    made, h = block(), tokens(2, 37, 6)
    with torch.no_grad():
        assert_near(made(h), copy.deepcopy(made).double()(h.double()), ROUNDING)


def test_bfloat16_autocast():
    made, h = block(), tokens(2, 200, 6).requires_grad_()
    exact = made(h)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = made(h)
    assert output.dtype == torch.bfloat16
    # bfloat16 keeps 8 bits, through four projections.
    assert_near(output, exact.detach(), 0.03)
    output.float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in made.parameters())


def test_long_memory_under_bfloat16():
    """Small steps, slow decay, no path around the state."""
    torch.manual_seed(0)
    made, h = LightsegMamba(6, d_state=2, dt_min=5e-4, dt_max=1e-3), 1 + 0.1 * tokens(2, 200, 6)
    with torch.no_grad():
        made.D.zero_()
        made.A_log.fill_(-3)
        exact = made(h)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = made(h)
    # The projections alone cost 0.015; with a state that is in bfloat16 too it is 0.037.
    assert_near(output, exact, 0.022)


def test_deepcopy():
    made, h = block(), tokens(2, 9, 6)
    made(h).sum().backward()
    twin = copy.deepcopy(made)
    with torch.no_grad():
        expected = made(h)
        assert torch.equal(twin(h), expected)
        for parameter in twin.parameters():
            parameter.zero_()
        assert torch.equal(made(h), expected)


@pytest.mark.parametrize("length", [2, 37])
def test_every_parameter_gets_a_gradient(length):
    made = LightsegMamba(6)
    made(tokens(2, length, 6)).square().mean().backward()
    for key, parameter in made.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert (parameter.grad != 0).any(), key
