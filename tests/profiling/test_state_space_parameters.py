"""Parameter counts of state-space blocks against the paper's figures, formulae and modules."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from monai_lightseg.networks.blocks.mamba import LightsegMamba
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.profiling import count_parameters, mamba_parameters, pvm_parameters, vss_parameters

ULTRALIGHT_LAYERS = ((24, 32), (32, 48), (48, 64), (64, 48), (48, 32), (32, 24))


def ss2d(channels, *, state=16, conv=3, expand=2, rank=None, directions=4):
    """The parts of an SS2D that hold parameters."""
    rank = math.ceil(channels / 16) if rank is None else rank
    inner = expand * channels
    return nn.ModuleDict(
        {
            "in_proj": nn.Linear(channels, 2 * inner, bias=False),
            "conv2d": nn.Conv2d(inner, inner, conv, padding=conv // 2, groups=inner),
            "x_proj": nn.ModuleList(nn.Linear(inner, rank + 2 * state, bias=False) for _ in range(directions)),
            "dt_proj": nn.ModuleList(nn.Linear(rank, inner) for _ in range(directions)),
            "scan": nn.ParameterDict(
                {"A_logs": torch.zeros(directions * inner, state), "Ds": torch.ones(directions * inner)}
            ),
            "out_norm": nn.LayerNorm(inner),
            "out_proj": nn.Linear(inner, channels, bias=False),
        }
    )


@pytest.mark.parametrize(
    ("count", "channels", "as_built", "as_in_paper"),
    [
        (mamba_parameters, 1024, 6_666_240, 23_435_264),
        (mamba_parameters, 256, 437_760, 1_484_288),
        (vss_parameters, 1024, 7_774_208, 45_504_512),
        (vss_parameters, 256, 567_296, 2_921_984),
    ],
)
def test_figures_of_the_paper(count, channels, as_built, as_in_paper):
    assert count(channels) == count(channels, counting="as_built") == as_built
    assert count(channels, counting="as_in_paper") == as_in_paper


@pytest.mark.parametrize(
    ("channels", "sizes"),
    [
        (1, {}),
        (6, {}),
        (16, {}),
        (17, {}),
        (256, {}),
        (24, {"state": 8}),
        (24, {"conv": 3}),
        (24, {"expand": 3}),
    ],
)
def test_mamba_equals_the_module(channels, sizes):
    arguments = {f"d_{name}" if name != "expand" else name: size for name, size in sizes.items()}
    assert mamba_parameters(channels, **sizes) == count_parameters(LightsegMamba(channels, **arguments))


def test_mamba_rank():
    """One more value of rank is one more column of x_proj and of dt_proj."""
    assert mamba_parameters(64, rank=5) - mamba_parameters(64) == 2 * 128
    assert mamba_parameters(64, rank=4) == mamba_parameters(64)


@pytest.mark.parametrize(
    ("channels", "sizes"),
    [
        (1, {}),
        (96, {}),
        (100, {}),
        (256, {}),
        (24, {"state": 8}),
        (24, {"conv": 5}),
        (24, {"expand": 3}),
        (24, {"rank": 7}),
        (24, {"directions": 2}),
    ],
)
def test_vss_equals_a_module(channels, sizes):
    assert vss_parameters(channels, **sizes) == count_parameters(ss2d(channels, **sizes))


def test_paper_counts_the_dense_convolution():
    for count, convolution in ((mamba_parameters, nn.Conv1d), (vss_parameters, nn.Conv2d)):
        dense, depthwise = convolution(48, 48, 5), convolution(48, 48, 5, groups=48)
        difference = count(24, conv=5, counting="as_in_paper") - count(24, conv=5)
        assert difference == count_parameters(dense) - count_parameters(depthwise)


@given(width=st.integers(1, 600), out_channels=st.integers(1, 2000))
def test_pvm_formula(width, out_channels):
    in_channels, rank = 4 * width, math.ceil(width / 16)
    assert pvm_parameters(in_channels, out_channels) == (
        2 * in_channels + in_channels * out_channels + out_channels + 1 + 6 * width**2 + 4 * width * rank + 110 * width
    )


@pytest.mark.parametrize("branches", [4, 2, 1])
@pytest.mark.parametrize(("in_channels", "out_channels"), [*ULTRALIGHT_LAYERS, (128, 8)])
def test_pvm_equals_the_module(in_channels, out_channels, branches):
    layer = LightsegPVM(in_channels, out_channels, branches=branches)
    assert pvm_parameters(in_channels, out_channels, branches=branches) == count_parameters(layer)


def test_pvm_passes_the_sizes_of_its_mamba_on():
    layer = LightsegPVM(48, 5, branches=2, d_state=8, d_conv=3, expand=3)
    assert pvm_parameters(48, 5, branches=2, state=8, conv=3, expand=3) == count_parameters(layer)


def test_pvm_layers_make_the_difference_between_the_settings_of_ultralight_vm_unet():
    """The three settings have 49,457, 69,589 and 136,269 parameters and differ in their PVM layers only."""
    four, two, one = (
        sum(pvm_parameters(*layer, branches=number) for layer in ULTRALIGHT_LAYERS) for number in (4, 2, 1)
    )
    assert two - four == 69_589 - 49_457
    assert one - four == 136_269 - 49_457


@pytest.mark.parametrize("size", [0, -1])
@pytest.mark.parametrize("name", ["channels", "state", "conv", "expand", "rank"])
@pytest.mark.parametrize("count", [mamba_parameters, vss_parameters])
def test_sizes_must_be_positive(count, name, size):
    with pytest.raises(ValueError, match=f"{name} must be positive, got {size}: give"):
        count(**{"channels": 16, name: size})


def test_directions_must_be_positive():
    with pytest.raises(ValueError, match="directions must be positive, got 0: give"):
        vss_parameters(16, directions=0)


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "branches", "state", "conv", "expand"])
def test_sizes_of_pvm_must_be_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be positive, got 0: give"):
        pvm_parameters(**{"in_channels": 16, "out_channels": 8, name: 0})


def test_branches_must_divide_the_channels():
    with pytest.raises(ValueError, match="in_channels must be a multiple of branches, got 18 and 4"):
        pvm_parameters(18, 8)


@pytest.mark.parametrize("count", [mamba_parameters, vss_parameters])
def test_unknown_counting(count):
    with pytest.raises(ValueError, match="as_in_paper"):
        count(16, counting="paper")
