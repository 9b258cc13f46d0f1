"""ODE blocks: the solution they find, the gradients, what they keep in memory, and how their solver is changed."""

import copy
import sys

import pytest
import torch
from torch import nn

from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import ODESolver, count_evaluations, create_network, set_solver
from monai_lightseg.networks.blocks import ode
from monai_lightseg.networks.blocks.ode import LightsegODEBlock
from tests.networks.tester import assert_near, image

try:
    import torchdiffeq
except ImportError:
    torchdiffeq = None

needs_torchdiffeq = pytest.mark.skipif(torchdiffeq is None, reason="torchdiffeq is not installed")

FIXED = ("euler", "heun", "rk4")
ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")


class SmoothRate(nn.Module):
    """Smooth, and not the same at every time."""

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, time):
        return torch.tanh(self.conv(x)) * (1 + time)


class Seen(SmoothRate):
    """Notes what it is given, for a look afterwards; the block itself keeps nothing."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x, time):
        self.seen.append((x.dtype, torch.is_autocast_enabled("cpu"), time if isinstance(time, float) else time.item()))
        return super().forward(x, time)


class Power(nn.Module):
    """dx/dt = (p + 1) t^p, so that the state grows by 1."""

    def __init__(self, power):
        super().__init__()
        self.power = power

    def forward(self, x, time):
        return torch.full_like(x, (self.power + 1) * float(time) ** self.power)


def block_of(*solver, rate=None, **more):
    torch.manual_seed(0)
    return LightsegODEBlock(rate or SmoothRate(), ODESolver(*solver, **more))


def state(requires_grad=False):
    return (2 * image(2, 3, 6, 5) - 1).requires_grad_(requires_grad)


def gradients(block, x):
    x.grad = None
    block.zero_grad()
    block(x).square().sum().backward()
    return torch.cat([x.grad.flatten(), *(weights.grad.flatten() for weights in block.parameters())])


@needs_torchdiffeq
@pytest.mark.parametrize(("name", "theirs"), [("euler", "euler"), ("heun", "heun2"), ("rk4", "rk4")])
@pytest.mark.parametrize("steps", [1, 3])
@torch.no_grad()
def test_fixed_steps_are_those_of_torchdiffeq(name, theirs, steps):
    block, x = block_of(name, steps=steps).double(), state().double()
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    expected = torchdiffeq.odeint(lambda time, at: block.rate(at, time), x, times, method=theirs)[-1]
    assert_near(block(x), expected, 1e-14)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("rk4", 4)])
@torch.no_grad()
def test_order_of_convergence(name, order):
    block, x = block_of("rk4", steps=256).double(), state().double()
    exact = block(x)

    def error(steps):
        set_solver(block, name, steps=steps)
        return (block(x) - exact).norm()

    # The ratio nears 2 to the order as the steps get shorter.
    assert error(16) / error(32) == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize(("name", "power"), [("euler", 0), ("heun", 1), ("rk4", 3)])
@torch.no_grad()
def test_time_runs_from_0_to_1(name, power):
    x = state()
    torch.testing.assert_close(block_of(name, rate=Power(power))(x), x + 1)


@needs_torchdiffeq
@pytest.mark.parametrize("name", ADAPTIVE)
@torch.no_grad()
def test_adaptive_steps_are_those_of_torchdiffeq(name):
    block, x = block_of(name, rtol=1e-4, atol=1e-5), state()
    expected = torchdiffeq.odeint(
        lambda time, at: block.rate(at, time), x, torch.tensor([0.0, 1.0]), method=name, rtol=1e-4, atol=1e-5
    )[-1]
    assert torch.equal(block(x), expected)


@needs_torchdiffeq
@torch.no_grad()
def test_adaptive_steps_near_fixed_ones():
    x = state().double()
    tight = block_of("dopri5", rtol=1e-8, atol=1e-8).double()
    assert_near(tight(x), block_of("rk4", steps=64).double()(x), 1e-6)


@pytest.mark.parametrize("name", FIXED)
def test_checkpointing_changes_no_gradient(name):
    x = state(requires_grad=True)
    kept = gradients(block_of(name, steps=3, checkpoint=False), x)
    again = gradients(block_of(name, steps=3, checkpoint=True), x)
    torch.testing.assert_close(again, kept, rtol=1e-6, atol=1e-7)


def test_gradients_of_fixed_steps_are_exact():
    block, x = block_of("heun", steps=2).double(), state(requires_grad=True).double()
    assert torch.autograd.gradcheck(block, (x,))


@needs_torchdiffeq
@pytest.mark.parametrize("seminorm", [False, True])
def test_adjoint_gradients_near_direct_ones(seminorm):
    tight = {"rtol": 1e-8, "atol": 1e-8}
    x = state().double().requires_grad_()
    direct = gradients(block_of("dopri5", adjoint=False, **tight).double(), x)
    adjoint = gradients(block_of("dopri5", seminorm=seminorm, **tight).double(), x)
    assert_near(adjoint, direct, 1e-6)


def kept_values(block, x):
    """Numbers of values that a forward keeps for the backward pass, besides input and weights."""
    given = {tensor.untyped_storage() for tensor in (x, *block.parameters())}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        block(x)
    return sum(values for storage, values in kept.items() if storage not in given)


@needs_torchdiffeq
@needs_torchdiffeq
@pytest.mark.parametrize("adjoint", [False, True])
def test_gradients_do_not_depend_on_the_scale_of_the_loss(adjoint):
    """Nor does the number of evaluations: gradient scaling multiplies the loss by a thousand and more."""
    block, x = block_of("dopri5", adjoint=adjoint), state()
    results = []
    for scale in (1e-6, 1.0, 2.0**16):
        block.zero_grad()
        with count_evaluations(block) as evaluations:
            (scale * block(x).square().mean()).backward()
        gradient = torch.cat([weights.grad.flatten() for weights in block.parameters()]) / scale
        results.append((evaluations.total(), gradient))
    for evaluations, gradient in results[1:]:
        assert evaluations == results[0][0]
        assert_near(gradient, results[0][1], 1e-4)


@needs_torchdiffeq
@pytest.mark.parametrize("value", [torch.inf, torch.nan])
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_gradients_that_are_not_finite_reach_the_weights(solver, value):
    """Where gradient scaling finds them, and leaves the step out."""
    block, x = block_of(solver), state(requires_grad=True)
    block(x).backward(torch.full((2, 3, 6, 5), value))
    for tensor in (x, *block.parameters()):
        assert not tensor.grad.isfinite().any()


@needs_torchdiffeq
def test_a_gradient_of_zero():
    block = block_of("dopri5")
    (0 * block(state())).sum().backward()
    assert all(torch.equal(weights.grad, torch.zeros_like(weights)) for weights in block.parameters())


def test_what_is_kept_for_the_backward_pass():
    x = state(requires_grad=True)
    # The state at each step but the first, which is the input; for the adjoint the states at the two ends.
    assert kept_values(block_of("rk4", steps=5), x) == 4 * x.numel()
    assert kept_values(block_of("dopri5"), x) <= 2 * x.numel() + 2
    assert kept_values(block_of("rk4", steps=5, checkpoint=False), x) > 30 * x.numel()


@needs_torchdiffeq
def test_evaluations():
    x = state()
    for name, each in (("euler", 1), ("heun", 2), ("rk4", 4)):
        network = nn.Sequential(block_of(name, steps=3), block_of(name, steps=2))
        with count_evaluations(network) as evaluations, torch.no_grad():
            network(x)
        assert evaluations == {"0": 3 * each, "1": 2 * each}
    with count_evaluations(block_of("dopri5")) as evaluations, torch.no_grad():
        block_of("dopri5")(x)
    assert not evaluations
    block = block_of("dopri5")
    with count_evaluations(block) as evaluations, torch.no_grad():
        block(x)
    # Two to choose the first step, six in each.
    assert evaluations.total() > 2
    assert evaluations.total() % 6 == 2


def test_evaluations_of_a_backward_pass():
    block = block_of("rk4", steps=3)
    with count_evaluations(block) as evaluations:
        output = block(state())
        assert evaluations.total() == 12
        output.sum().backward()
    assert evaluations.total() == 24
    block(state())
    assert evaluations.total() == 24


def test_evaluations_without_a_block():
    with pytest.raises(ValueError, match="Identity has no ODE block"), count_evaluations(nn.Identity()):
        pass


@needs_torchdiffeq
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
def test_nothing_stays_on_the_block(solver):
    block = block_of(solver)
    before = set(vars(block))
    output = block(state(requires_grad=True))
    assert set(vars(block)) == before
    twin = copy.deepcopy(block)
    assert torch.equal(twin(state()), output)
    output.sum().backward()


@needs_torchdiffeq
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_solves_in_float32(solver, dtype):
    """The backward pass too, even where it runs inside."""
    block = block_of(solver, rate=Seen())
    with torch.autocast("cpu", dtype=dtype):
        output = block(state().to(dtype))
        forward = len(block.rate.seen)
        output.sum().backward()
    assert output.dtype == dtype
    assert len(block.rate.seen) > forward
    assert {(kind, autocast) for kind, autocast, _ in block.rate.seen} == {(torch.float32, False)}


@needs_torchdiffeq
@pytest.mark.parametrize("solver", ["rk4", "dopri5"])
@torch.no_grad()
def test_states_of_a_half_network_are_float32(solver):
    block = block_of(solver, rate=Seen()).bfloat16()
    x = torch.full((1, 3, 4, 4), 100.0, dtype=torch.bfloat16)
    assert block(x).dtype == torch.bfloat16
    assert {kind for kind, *_ in block.rate.seen} == {torch.bfloat16}
    # Steps of less than 0.5, the distance of neighbours at 100, would be lost in bfloat16.
    slow = LightsegODEBlock(Power(0), ODESolver("euler", steps=8))
    assert torch.equal(slow(x), x + 1)


@torch.no_grad()
def test_on_the_meta_device_shapes_follow():
    block = block_of("dopri5").to("meta")
    assert block(torch.empty(2, 3, 6, 5, device="meta")).shape == (2, 3, 6, 5)


def test_set_solver():
    network = nn.Sequential(block_of("dopri5"), nn.Identity(), block_of("rk4", steps=7))
    weights = copy.deepcopy(network.state_dict())
    set_solver(network, "heun", rtol=1e-5, checkpoint=False)
    assert network[0].solver == ODESolver("heun", steps=2, rtol=1e-5, checkpoint=False)
    assert network[2].solver == ODESolver("heun", steps=7, rtol=1e-5, checkpoint=False)
    assert all(torch.equal(tensor, weights[key]) for key, tensor in network.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "dopri55"}, "did you mean 'dopri5'"),
        ({"steps": 0}, "steps must be a whole number from 1, got 0"),
        ({"steps": 1.5}, r"steps must be a whole number from 1, got 1\.5"),
        ({"rtol": 0.0}, "rtol and atol must be above 0"),
        ({"atol": -1.0}, "rtol and atol must be above 0"),
    ],
)
def test_set_solver_refuses(changes, message):
    network = block_of("rk4")
    with pytest.raises(ValueError, match=message):
        set_solver(network, **changes)
    assert network.solver == ODESolver("rk4")


def test_set_solver_without_a_block():
    with pytest.raises(ValueError, match="ULite has no ODE block"):
        set_solver(create_network("ulite", features=(4, 8)), "rk4")


def test_without_torchdiffeq(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    block_of("rk4")(state())
    with pytest.raises(LightsegError, match=r"pip install 'monai-lightseg\[ode\]'.*set_solver\(network, 'rk4'\)"):
        block_of("dopri5")(state())


@needs_torchdiffeq
def test_a_state_that_is_not_finite():
    with pytest.raises(LightsegError, match="not finite: check the image and the weights"):
        block_of("dopri5")(torch.full((1, 3, 4, 4), torch.nan))


@needs_torchdiffeq
def test_too_many_steps(monkeypatch):
    monkeypatch.setattr(ode, "_MAX_STEPS", 1)
    with pytest.raises(LightsegError, match=r"dopri5 gave up .*loosen rtol=1e-06"):
        block_of("dopri5", rtol=1e-6, atol=1e-6)(state())
