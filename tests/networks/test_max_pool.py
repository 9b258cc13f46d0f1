import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from monai_lightseg.networks.blocks.max_pool import LightsegMaxPool


@settings(max_examples=40, deadline=None)
@given(size=st.lists(st.integers(2, 17), min_size=2, max_size=3), last=st.booleans())
def test_same_numbers_as_the_kernel(size, last):
    x = torch.randn(2, 3, *size)
    if last and len(size) == 2:
        x = x.to(memory_format=torch.channels_last)
    kernel = functional.max_pool2d if len(size) == 2 else functional.max_pool3d
    pool = LightsegMaxPool(len(size))
    # A maximum is one of its inputs, so nothing may differ.
    assert torch.equal(pool.eval()(x), kernel(x, 2))
    assert torch.equal(pool.train()(x), kernel(x, 2))


def test_not_a_number_is_kept():
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2] = float("nan")
    assert LightsegMaxPool(2).eval()(x).isnan().flatten().tolist() == [False, True, False, False]


@pytest.mark.parametrize("training", [False, True])
def test_gradient_goes_to_the_largest(training):
    x = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    LightsegMaxPool(2).train(training)(x).sum().backward()
    assert x.grad.flatten().nonzero().flatten().tolist() == [5, 7, 13, 15]
