"""The Mamba block, under mamba-ssm's own names, against figures recorded from its module and reference scan.

Tolerances as in test_parity: 1e-4 of the output's standard deviation, 1e-3 of a gradient norm. No gradient of the block
is zero but for rounding, so nothing is added for noise.
"""

import json
from pathlib import Path

import pytest
import torch

from monai_lightseg.networks.blocks.mamba import LightsegMamba
from tests.parity.fill import filled_input, filled_tensor
from tests.parity.test_parity import assert_output

VARIANTS = json.loads((Path(__file__).parent / "blocks" / "mamba_block.json").read_text())["variants"]

every_width = pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda variant: f"width_{variant['arguments']['d_model']}"
)


def filled_block(variant):
    # The rank is left to the block: it has to come out as recorded, or the shapes do not load.
    block = LightsegMamba(variant["arguments"]["d_model"])
    weights = {key: filled_tensor(key, shape, dtype) for key, shape, dtype in variant["keys"]}
    block.load_state_dict(weights, strict=True)
    return block


def test_four_widths():
    assert [variant["arguments"]["d_model"] for variant in VARIANTS] == [16, 32, 6, 24]


@every_width
def test_state_dict(variant):
    for block in (LightsegMamba(**variant["arguments"]), LightsegMamba(variant["arguments"]["d_model"])):
        entries = [
            [key, list(tensor.shape), str(tensor.dtype).removeprefix("torch.")]
            for key, tensor in block.state_dict().items()
        ]
        assert entries == variant["keys"]


@every_width
def test_output_and_gradients(variant):
    block = filled_block(variant)
    tokens = (filled_input(variant["input_shape"]) - 0.5).requires_grad_()
    output = block(tokens)
    assert_output(output, variant["output"])
    loss = output.square().mean()
    assert loss.item() == pytest.approx(variant["loss"], rel=1e-5)
    loss.backward()
    assert tokens.grad.norm().item() == pytest.approx(variant["input_gradient"], rel=1e-3)
    gradients = {key: parameter.grad.norm().item() for key, parameter in block.named_parameters()}
    assert gradients == pytest.approx(variant["gradients"], rel=1e-3)


@every_width
def test_output_without_gradients(variant):
    with torch.no_grad():
        output = filled_block(variant).eval()(filled_input(variant["input_shape"]) - 0.5)
    assert_output(output, variant["output"])
