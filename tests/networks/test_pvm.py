"""The PVM layer against a plain statement of it: every chunk through Mamba on its own."""

import pytest
import torch
from torch.nn import functional

from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.profiling import count_parameters, pvm_parameters

# Both sides compute in float64, whose rounding (1e-16) grows by the number of additions at most.
EXACT = {"rtol": 1e-10, "atol": 1e-10}

MAPS = {"1d": (9,), "2d": (3, 5), "one_row": (1, 6), "one_pixel": (1, 1), "3d": (2, 3, 4)}


def layer(in_channels, out_channels, branches=4, **arguments):
    """A layer in float64 whose norm, scale and bias are away from ones and zeros."""
    torch.manual_seed(0)
    made = LightsegPVM(in_channels, out_channels, branches, **arguments).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def maps(*shape):
    # Away from mean 0 and variance 1, where a norm would do nothing.
    return 3 + 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def naive_pvm(made, x):
    """One pixel row after the other is one sequence; every chunk of channels goes through Mamba and keeps its place."""
    batch, channels, *spatial = x.shape
    width = channels // made.branches
    rows = x.movedim(1, -1).reshape(batch, -1, channels)
    normed = functional.layer_norm(rows, [channels], made.norm.weight, made.norm.bias, 1e-5)
    done = []
    for start in range(0, channels, width):
        chunk = normed[:, :, start : start + width]
        done.append(made.mamba(chunk) + made.skip_scale * chunk)
    again = functional.layer_norm(torch.cat(done, dim=2), [channels], made.norm.weight, made.norm.bias, 1e-5)
    out = again @ made.proj.weight.T + made.proj.bias
    return out.reshape(batch, *spatial, -1).movedim(-1, 1)


@pytest.mark.parametrize("spatial", MAPS.values(), ids=MAPS)
@pytest.mark.parametrize("branches", [1, 2, 4, 8])
def test_equals_the_plain_statement(branches, spatial):
    made = layer(16, 6, branches)
    x = maps(2, 16, *spatial).requires_grad_()
    other = x.detach().clone().requires_grad_()
    output, expected = made(x), naive_pvm(made, other)
    assert output.shape == (2, 6, *spatial)
    torch.testing.assert_close(output, expected, **EXACT)
    parameters = list(made.parameters())
    ours = torch.autograd.grad(output.square().sum(), [x, *parameters])
    theirs = torch.autograd.grad(expected.square().sum(), [other, *parameters])
    for gradient, other_gradient in zip(ours, theirs, strict=True):
        # Relative to the largest: sums over pixels cancel.
        largest = float(other_gradient.abs().max())
        torch.testing.assert_close(gradient, other_gradient, rtol=0, atol=1e-10 * max(1.0, largest))


def test_memory_layout_does_not_matter():
    made, x = layer(8, 4), maps(2, 8, 5, 6)
    torch.testing.assert_close(made(x.to(memory_format=torch.channels_last)), made(x), **EXACT)


@pytest.mark.parametrize("arguments", [{}, {"d_state": 8, "d_conv": 3, "expand": 3}])
@pytest.mark.parametrize("branches", [1, 2, 4, 8])
def test_number_of_parameters(branches, arguments):
    sizes = {name.removeprefix("d_"): value for name, value in arguments.items()}
    made = LightsegPVM(48, 64, branches, **arguments)
    assert count_parameters(made) == pvm_parameters(48, 64, branches=branches, **sizes)


def test_start():
    made = LightsegPVM(8, 4)
    assert made.branches == 4
    assert torch.equal(made.skip_scale, torch.ones(1))
    assert made.norm.eps == 1e-5
    assert (made.proj.in_features, made.proj.out_features, made.mamba.in_proj.in_features) == (8, 4, 2)


@pytest.mark.parametrize(("in_channels", "branches"), [(10, 4), (4, 8), (8, 0), (8, -2)])
def test_widths_that_do_not_split(in_channels, branches):
    with pytest.raises(ValueError, match=f"multiple of branches, got {in_channels} and {branches}"):
        LightsegPVM(in_channels, 8, branches)
