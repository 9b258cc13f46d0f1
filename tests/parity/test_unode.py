"""U-Node's rate of change, its adaptive steps and their number, against figures recorded from the authors' code.

With weights by the plain fill rule the steps amplify rounding errors: the recorded outputs are uncertain by 1e-3 of
their standard deviation, and 5e-3 leaves room for other kernels. With the weights of the rates turned down they are
certain to 1e-5, as in the networks without a solver.
"""

import json
from pathlib import Path

import pytest
import torch

from monai_lightseg.checkpoints import convert
from monai_lightseg.networks import count_evaluations, create_network, set_solver
from tests.parity.fill import filled_input, filled_tensor, sample_positions
from tests.parity.test_parity import SOFTENING

FOLDER = Path(__file__).parent
KEYS = json.loads((FOLDER / "fixtures" / "unode.json").read_text())["keys"]
FIGURES = json.loads((FOLDER / "blocks" / "unode.json").read_text())
# In the order of the record: down, embedding, up.
BLOCKS = [f"encoder.blocks.{i}" for i in range(5)] + [f"decoder.blocks.{i}" for i in range(4)]


def filled_network(softened):
    weights = {
        key: filled_tensor(key, shape, dtype) * (SOFTENING if softened and "odefunc" in key else 1)
        for key, shape, dtype in KEYS
    }
    network = create_network("unode", out_channels=2).eval()
    network.load_state_dict(convert("unode", weights, out_channels=2))
    return network


def assert_near(output, expected, tolerance):
    assert list(output.shape) == expected["shape"]
    flat = output.double().flatten()
    samples = torch.tensor(expected["samples"], dtype=torch.float64)
    assert (flat[sample_positions(flat.numel())] - samples).abs().max() <= tolerance * expected["std"]
    assert abs(flat.mean() - expected["mean"]) <= tolerance * expected["std"]
    assert abs(flat.std(correction=0) - expected["std"]) <= tolerance * expected["std"]


@pytest.mark.parametrize("case", FIGURES["cases"], ids=lambda case: f"{case['tolerance']}-{case['input_shape']}")
@torch.no_grad()
def test_outputs_and_evaluations(case):
    network = filled_network(case["softened"])
    set_solver(network, rtol=case["tolerance"], atol=case["tolerance"])
    with count_evaluations(network) as evaluations:
        output = network(filled_input(case["input_shape"]))
    assert_near(output, case["output"], 1e-4 if case["softened"] else 5e-3)
    assert [evaluations[block] for block in BLOCKS] == case["evaluations"]


@pytest.mark.parametrize("case", FIGURES["rates"], ids=lambda case: f"{case['block']}-{case['time']}")
@torch.no_grad()
def test_rate_of_change(case):
    place = {"odeblock_down1": 0, "odeblock_embedding": 4}[case["block"]]
    rate = filled_network(softened=False).encoder.blocks[place].rate
    assert_near(rate(filled_input(case["input_shape"]), case["time"]), case["output"], 1e-4)
