"""U-Node's rate of change, its adaptive steps and their number, against figures recorded from the authors' code.

Computed in float64: in float32 the number of steps at the tight tolerance depends on the processor. With weights by the
plain fill rule the steps amplify rounding errors: the recorded outputs, of float32, are uncertain by up to 1e-3 of
their standard deviation (seen: 2.9e-4). With the weights of the rates turned down they are certain to 1e-5, as in the
networks without a solver.
"""

from pathlib import Path

import pytest
import torch

from monai_lightseg.networks import count_evaluations, set_solver
from tests.parity.fill import filled_input
from tests.parity.test_parity import assert_output, filled_network, read

FOLDER = Path(__file__).parent
FIXTURE, FIGURES = (read(FOLDER / folder / "unode.json") for folder in ("fixtures", "blocks"))
# In the order of the record: down, embedding, up.
BLOCKS = [f"encoder.blocks.{i}" for i in range(5)] + [f"decoder.blocks.{i}" for i in range(4)]


def network_of(softened):
    plain = {key: value for key, value in FIXTURE.items() if key != "softened"}
    return filled_network(FIXTURE if softened else plain).eval()


@pytest.mark.parametrize("case", FIGURES["cases"], ids=lambda case: f"{case['tolerance']}-{case['input_shape']}")
@torch.no_grad()
def test_outputs_and_evaluations(case):
    network = network_of(case["softened"]).double()
    set_solver(network, rtol=case["tolerance"], atol=case["tolerance"])
    with count_evaluations(network) as evaluations:
        output = network(filled_input(case["input_shape"]).double())
    assert_output(output, case["output"], 1e-4 if case["softened"] else 1e-3)
    assert [evaluations[block] for block in BLOCKS] == case["evaluations"]


@pytest.mark.parametrize("case", FIGURES["rates"], ids=lambda case: f"{case['block']}-{case['time']}")
@torch.no_grad()
def test_rate_of_change(case):
    place = {"odeblock_down1": 0, "odeblock_embedding": 4}[case["block"]]
    rate = network_of(softened=False).double().encoder.blocks[place].rate
    assert_output(rate(filled_input(case["input_shape"]).double(), case["time"]), case["output"], 1e-4)
