"""Channel chunks run through one module in the batch: the same as one after the other."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.parallel import LightsegParallel, merge_branches, split_branches

# The same sums over other batches, in float64.
EXACT = {"rtol": 1e-12, "atol": 1e-12}

MODULES = {"mamba": LightsegMamba, "linear": lambda width: nn.Linear(width, width)}


def tokens(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(1, 4),
    branches=st.integers(1, 5),
    width=st.integers(1, 5),
    middle=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_split_and_merge(batch, branches, width, middle):
    whole = tokens(batch, *middle, branches * width)
    chunks = split_branches(whole, branches)
    assert chunks.shape == (batch * branches, *middle, width)
    for image in range(batch):
        for branch in range(branches):
            expected = whole[image, ..., branch * width : (branch + 1) * width]
            assert torch.equal(chunks[image * branches + branch], expected)
    assert torch.equal(merge_branches(chunks, branches), whole)
    assert torch.equal(split_branches(merge_branches(chunks, branches), branches), chunks)


@pytest.mark.parametrize("branches", [1, 2, 3, 6])
@pytest.mark.parametrize("name", MODULES)
def test_equals_one_chunk_after_the_other(name, branches):
    torch.manual_seed(0)
    module = MODULES[name](12 // branches).double()
    x = tokens(3, 7, 12).requires_grad_()
    other = x.detach().clone().requires_grad_()
    output = LightsegParallel(module, branches)(x)
    expected = torch.cat([module(chunk) for chunk in other.chunk(branches, dim=-1)], dim=-1)
    torch.testing.assert_close(output, expected, **EXACT)
    parameters = list(module.parameters())
    ours = torch.autograd.grad(output.square().sum(), [x, *parameters])
    theirs = torch.autograd.grad(expected.square().sum(), [other, *parameters])
    for gradient, other_gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, other_gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("middle", [(), (4,), (4, 5), (2, 3, 4)])
def test_any_number_of_axes_between(middle):
    torch.manual_seed(0)
    module = nn.Linear(3, 3).double()
    x = tokens(2, *middle, 6)
    expected = torch.cat([module(x[..., :3]), module(x[..., 3:])], dim=-1)
    torch.testing.assert_close(LightsegParallel(module, 2)(x), expected, **EXACT)


def test_the_module_is_called_once():
    shapes = []
    module = nn.Identity()
    module.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))
    LightsegParallel(module)(tokens(3, 5, 8))
    assert shapes == [(12, 5, 2)]


def test_weights_are_shared():
    module = LightsegMamba(4)
    parallel = LightsegParallel(module, 4)
    assert list(map(id, parallel.parameters())) == list(map(id, module.parameters()))
    assert parallel.state_dict().keys() == {f"module.{key}" for key in module.state_dict()}


@pytest.mark.parametrize(("channels", "branches"), [(10, 4), (3, 5)])
def test_channels_that_do_not_split(channels, branches):
    with pytest.raises(ValueError, match=f"{channels} channels do not split into {branches} equal branches"):
        LightsegParallel(nn.Identity(), branches)(tokens(1, 2, channels))
