import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from monai_lightseg.networks.blocks import bilinear_doubling
from tests.networks.tester import image


def double_bilinear(x):
    return bilinear_doubling.double_bilinear(x, (2 * x.shape[2], 2 * x.shape[3]))


def double_by_gathering(x):
    return bilinear_doubling._gather_axis(bilinear_doubling._gather_axis(x, 3, 2 * x.shape[3]), 2, 2 * x.shape[2])


def library(x):
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_is_bilinear_interpolation(height, width):
    x = image(2, 2, height, width)
    expected = library(x.double())
    # The library itself is off by up to 2e-5 here.
    assert (double_bilinear(x) - expected).abs().max() < 2e-7
    assert (double_by_gathering(x) - expected).abs().max() < 2e-7
    # In float64 the library rounds its coordinates to float64.
    assert (double_bilinear(x.double()) - expected).abs().max() < 1e-13


def test_gradient():
    x = image(1, 2, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(double_bilinear, x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_float32(dtype):
    x = image(1, 2, 40, 50).to(dtype)
    assert torch.equal(double_bilinear(x), double_bilinear(x.float()).to(dtype))
