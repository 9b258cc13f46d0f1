"""The scan against its definition in float64, and every way it is called."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor

from monai_lightseg.ops import selective_scan, two_level_scan
from tests.ops.reference_scan import relative_error, scan_inputs, sequential_scan, with_gradients


def ours(**inputs):
    return selective_scan(**inputs, return_last_state=True)


def assert_exact(inputs, forward, backward):
    """float32 against the definition in float64, as shares of the largest value of each output and gradient."""
    outputs, gradients = with_gradients(ours, {name: tensor.float() for name, tensor in inputs.items()})
    expected_outputs, expected_gradients = with_gradients(sequential_scan, inputs)
    errors = {name: relative_error(outputs[name], expected_outputs[name]) for name in outputs}
    assert max(errors.values()) <= forward, errors
    errors = {name: relative_error(gradients[name], expected_gradients[name]) for name in gradients}
    assert max(errors.values()) <= backward, errors


@pytest.mark.parametrize("shape", [(4, 12, 1024), (4, 16, 256), (2, 24, 1024), (3, 5, 256)])
@pytest.mark.parametrize("seed", range(3))
def test_exact(shape, seed):
    # The sequential float32 loop itself is off by 1.5e-7 and 3e-7.
    assert_exact(scan_inputs(*shape, seed=seed), forward=3e-7, backward=1e-6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 3),
    channels_per_group=st.integers(1, 4),
    length=st.integers(1, 2000),
    states=st.integers(1, 17),
    groups=st.one_of(st.none(), st.integers(1, 4)),
)
def test_any_shape(batch, channels_per_group, length, states, groups):
    inputs = scan_inputs(batch, channels_per_group * (groups or 1), length, states, groups)
    assert_exact(inputs, forward=1e-6, backward=1e-5)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 50])
@pytest.mark.parametrize("groups", [None, 2])
def test_gradcheck(length, groups):
    inputs = scan_inputs(2, 4, length, 3, groups)
    leaves = [tensor.requires_grad_() for tensor in inputs.values()]
    assert torch.autograd.gradcheck(lambda *tensors: selective_scan(*tensors, True, True), leaves)


def test_gradient_of_the_last_state_alone():
    inputs = {name: tensor.requires_grad_() for name, tensor in scan_inputs(2, 3, 20, 4).items()}
    states = {name: inputs[name] for name in ("u", "delta", "A", "B")}
    gradients = []
    for scan in (ours, sequential_scan):
        _, last = scan(**inputs, delta_softplus=True)
        gradients.append(torch.autograd.grad(last.square().sum(), list(states.values())))
    for actual, expected in zip(*gradients, strict=True):
        assert relative_error(actual, expected) < 1e-12


@pytest.mark.parametrize("differentiate", [torch.autograd.grad, None])
def test_second_derivatives_are_refused(differentiate):
    inputs = {name: tensor.requires_grad_() for name, tensor in scan_inputs(1, 2, 9, 3).items()}

    def total(u):
        return selective_scan(**inputs | {"u": u}, delta_softplus=True).sum()

    # Linear in y, where torch's own check sees nothing.
    with pytest.raises(NotImplementedError, match="no second derivatives"):
        if differentiate:
            differentiate(total(inputs["u"]), inputs["u"], create_graph=True)
        else:
            torch.func.grad(lambda u: torch.func.grad(total)(u).square().sum())(inputs["u"].detach())


def test_options_one_by_one():
    inputs = scan_inputs(2, 4, 30, 5)
    required = {name: inputs[name] for name in ("u", "A", "B", "C")}
    required["delta"] = inputs["delta"].abs()
    for options in ({}, {"D": inputs["D"]}, {"z": inputs["z"]}, {"delta_bias": inputs["delta_bias"].abs()}):
        y = selective_scan(**required, **options)
        assert isinstance(y, torch.Tensor)
        torch.testing.assert_close(y, sequential_scan(**required, **options)[0], rtol=1e-12, atol=1e-12)


def test_positional_order_is_that_of_mamba_ssm():
    inputs = scan_inputs(2, 4, 30, 5)
    order = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    y, last = selective_scan(*(inputs[name] for name in order), True, True)
    expected, expected_last = sequential_scan(**inputs, delta_softplus=True)
    torch.testing.assert_close((y, last), (expected, expected_last), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("forms", [(2, 2), (2, 3), (3, 2), (4, 2), (3, 4), (4, 3)])
def test_forms_of_b_and_c(forms):
    inputs = scan_inputs(2, 6, 30, 5)
    of_form = {
        2: torch.randn(6, 5, dtype=torch.float64),
        3: torch.randn(2, 5, 30, dtype=torch.float64),
        4: torch.randn(2, 3, 5, 30, dtype=torch.float64),
    }
    inputs |= {"B": of_form[forms[0]], "C": of_form[forms[1]]}
    outputs, gradients = with_gradients(ours, inputs)
    expected_outputs, expected_gradients = with_gradients(sequential_scan, inputs)
    torch.testing.assert_close(outputs, expected_outputs, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-10, atol=1e-12)


def test_groups_that_do_not_divide_each_other():
    inputs = scan_inputs(2, 6, 30, 5)
    inputs |= {name: torch.randn(2, groups, 5, 30, dtype=torch.float64) for name, groups in (("B", 2), ("C", 3))}
    options = inputs | {"delta_softplus": True}
    torch.testing.assert_close(ours(**options), sequential_scan(**options), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("tile_states", [1, 7 * 16, 100 * 16 * 3, 100 * 16 * 12])
def test_tiles_change_nothing(tile_states, monkeypatch):
    inputs = scan_inputs(3, 12, 100, groups=3)
    whole = with_gradients(ours, inputs)
    monkeypatch.setattr(two_level_scan, "TILE_STATES", tile_states)
    assert len(two_level_scan._tiles(inputs["u"].unflatten(1, (3, 4)), inputs["A"])) > 1
    torch.testing.assert_close(with_gradients(ours, inputs), whole, rtol=1e-10, atol=1e-12)


def test_kept_for_the_backward_grows_with_the_inputs():
    def kept_bytes(length):
        sizes = []
        inputs = {name: tensor.requires_grad_() for name, tensor in scan_inputs(1, 8, length).items()}
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.nbytes), t)[1], lambda t: t):
            selective_scan(**inputs, delta_softplus=True)
        return sum(sizes)

    # Per position u, delta, B, C, z and a few products of them, each 8 channels or 16 states of 8 bytes; the states
    # would be 8 x 16 values.
    assert kept_bytes(1024) < 1024 * 8 * (2 * 16 + 10 * 8)
    assert kept_bytes(2048) / kept_bytes(1024) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_float32(dtype):
    inputs = {name: tensor.to(dtype) for name, tensor in scan_inputs(2, 4, 300).items()}
    y, last = selective_scan(**inputs, delta_softplus=True, return_last_state=True)
    raised = {name: tensor.float() for name, tensor in inputs.items()}
    expected, expected_last = selective_scan(**raised, delta_softplus=True, return_last_state=True)
    assert (y.dtype, last.dtype) == (dtype, torch.float32)
    assert torch.equal(y, expected.to(dtype))
    assert torch.equal(last, expected_last)


def test_autocast_changes_nothing():
    inputs = scan_inputs(2, 4, 100, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = with_gradients(ours, inputs)
    torch.testing.assert_close(inside, with_gradients(ours, inputs), rtol=0, atol=0)


def test_output_has_the_dtype_of_u():
    inputs = scan_inputs(2, 4, 100, dtype=torch.float32)
    inputs["u"] = inputs["u"].half()
    raised = inputs | {"u": inputs["u"].float()}
    expected = selective_scan(**raised, delta_softplus=True)
    assert torch.equal(selective_scan(**inputs, delta_softplus=True), expected.half())


def test_gradients_have_the_dtype_of_their_input():
    inputs = scan_inputs(2, 4, 20)
    inputs = {name: tensor.bfloat16() if name in ("u", "B") else tensor.float() for name, tensor in inputs.items()}
    leaves = {name: tensor.requires_grad_() for name, tensor in inputs.items()}
    selective_scan(**leaves, delta_softplus=True).float().square().mean().backward()
    assert {name: leaf.grad.dtype for name, leaf in leaves.items()} == {name: t.dtype for name, t in inputs.items()}


def test_meta_tensors_are_taken_as_plain():
    inputs = scan_inputs(1, 2, 10)
    y = selective_scan(**{name: MetaTensor(tensor) for name, tensor in inputs.items()})
    assert type(y) is torch.Tensor
    assert torch.equal(y, selective_scan(**inputs))


def test_memory_layout_of_the_inputs_does_not_matter():
    inputs = scan_inputs(2, 6, 40, groups=2)
    strided = {name: tensor.mT.contiguous().mT if tensor.ndim > 1 else tensor for name, tensor in inputs.items()}
    assert not strided["u"].is_contiguous()
    torch.testing.assert_close(with_gradients(ours, strided), with_gradients(ours, inputs), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["u", "delta", "B", "C", "z"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_goes_where_the_recurrence_takes_it(name, value):
    inputs = scan_inputs(2, 4, 200, groups=2)
    inputs[name][1, 1, ..., 77] = value
    outputs = zip(ours(**inputs, delta_softplus=True), sequential_scan(**inputs, delta_softplus=True), strict=True)
    for actual, expected in outputs:
        assert torch.equal(actual.isfinite(), expected.isfinite())
        assert expected.isfinite().any()
        finite = expected.isfinite()
        torch.testing.assert_close(actual[finite], expected[finite], rtol=1e-10, atol=1e-12)


def test_forgetting_everything_and_nothing():
    inputs = scan_inputs(1, 3, 500, 4)
    inputs["A"] = torch.tensor([[-1e4, -80.0, -1e-6, 0.0]], dtype=torch.float64).repeat(3, 1)
    assert_exact(inputs, forward=1e-6, backward=1e-5)


WRONG = {
    "complex A": ({"A": torch.zeros(4, 3, dtype=torch.complex64)}, "A must be real and floating point"),
    "integer u": ({"u": torch.zeros(2, 4, 10, dtype=torch.int64)}, "u must be real and floating point"),
    "A of other channels": (
        {"A": torch.zeros(5, 3)},
        r"A must have the shape \(D, N\) with D = 4 as in u",
    ),
    "u of two axes": ({"u": torch.zeros(4, 10)}, r"u must have the shape \(B, D, L\)"),
    "no position": ({"u": torch.zeros(2, 4, 0)}, "L of 1 or more"),
    "delta of another length": ({"delta": torch.zeros(2, 4, 9)}, r"delta must have the shape of u, \(2, 4, 10\)"),
    "z of another length": ({"z": torch.zeros(2, 4, 9)}, "z must have the shape of u"),
    "D of other channels": ({"D": torch.zeros(3)}, r"D must have the shape \(D,\) = \(4,\), got \(3,\)"),
    "delta_bias of two axes": ({"delta_bias": torch.zeros(4, 1)}, "delta_bias must have the shape"),
    "B of other states": ({"B": torch.zeros(2, 5, 10)}, r"B must have the shape \(B, N, L\) = \(2, 3, 10\)"),
    "C of a group too many": ({"C": torch.zeros(2, 3, 3, 10)}, "D = 4 a multiple of G"),
    "B of no group": ({"B": torch.zeros(2, 0, 3, 10)}, "D = 4 a multiple of G"),
    "C of one axis": ({"C": torch.zeros(3)}, r"got \(3,\)"),
    "constant B of other channels": ({"B": torch.zeros(3, 3)}, r"or \(D, N\) = \(4, 3\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_inputs(case):
    changes, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        selective_scan(**scan_inputs(2, 4, 10, 3, dtype=torch.float32) | changes)
