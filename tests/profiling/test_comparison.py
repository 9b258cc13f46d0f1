"""compare(): its figures, ratios and table."""

import pytest
import torch
from torch import nn

from monai_lightseg.networks import create_network, replace_decoder
from monai_lightseg.profiling import (
    Comparison,
    NetworkCost,
    compare,
    count_flops,
    count_macs,
    interleaved_cpu_seconds,
)

BEFORE = NetworkCost(parameters=2_000_000, macs_thop=4_000_000_000, macs=8, flops=16, cpu_seconds=0.5)
AFTER = NetworkCost(parameters=1_000_000, macs_thop=1_000_000_000, macs=2, flops=4, cpu_seconds=0.25)


def test_ratios_are_after_over_before():
    comparison = Comparison(BEFORE, AFTER, (1, 3, 64, 64), threads=2)
    assert comparison.ratios() == {
        "parameters": 0.5,
        "macs_thop": 0.25,
        "macs": 0.25,
        "flops": 0.25,
        "cpu_seconds": 0.5,
    }


def test_table():
    lines = str(Comparison(BEFORE, AFTER, (1, 3, 64, 64), threads=2)).splitlines()
    assert lines[0].split() == ["input", "1x3x64x64,", "threads", "2", "before", "after", "ratio"]
    assert lines[1].split() == ["parameters,", "M", "2.000", "1.000", "0.500"]
    assert lines[2].split()[-3:] == ["4.000", "1.000", "0.250"]
    assert lines[5].split()[-3:] == ["500.000", "250.000", "0.500"]
    assert len({len(line) for line in lines}) == 1


def test_compare_counts_both_networks():
    before = nn.Conv2d(3, 8, 3, padding=1)
    after = nn.Conv2d(3, 4, 1)
    comparison = compare(before, after, input_size=(2, 3, 16, 16), repeats=3)
    assert comparison.before.parameters == 224
    assert comparison.after.parameters == 16
    assert comparison.before.macs == comparison.before.macs_thop == 2 * 256 * 8 * 27
    assert comparison.after.flops == 2 * 2 * 256 * 4 * 3
    assert comparison.input_size == (2, 3, 16, 16)
    assert comparison.threads == 1
    assert comparison.before.cpu_seconds > 0
    assert comparison.after.cpu_seconds > 0


@pytest.mark.parametrize("training", [True, False])
def test_networks_are_left_as_they_were(training):
    before = create_network("unet_bilinear", features=(4, 8)).train(training)
    after = replace_decoder(before)
    kept = [{key: tensor.clone() for key, tensor in network.state_dict().items()} for network in (before, after)]
    threads = torch.get_num_threads()
    comparison = compare(before, after, input_size=(1, 3, 16, 16), repeats=1)
    assert comparison.ratios()["parameters"] < 1
    assert torch.get_num_threads() == threads
    for network, state in zip((before, after), kept, strict=True):
        assert all(module.training is training for module in network.modules())
        assert all(torch.equal(tensor, state[key]) for key, tensor in network.state_dict().items())


def test_calls_take_turns():
    turns = []
    seconds = interleaved_cpu_seconds(
        {"a": lambda: turns.append("a"), "b": lambda: turns.append("b")}, repeats=2, warm_up=1
    )
    assert turns == ["a", "b"] * 3
    assert list(seconds) == ["a", "b"]


def test_threads_are_restored_after_an_error():
    threads = torch.get_num_threads()

    def fail():
        assert torch.get_num_threads() == threads + 1
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        interleaved_cpu_seconds({"a": fail}, threads=threads + 1)
    assert torch.get_num_threads() == threads


def test_operations_of_a_scan_are_no_multiply_accumulates():
    network = create_network("ultralight_vm_unet")
    cost = compare(network, network, input_size=(1, 3, 64, 64), repeats=1).before
    assert cost.macs == count_macs(network, (1, 3, 64, 64))
    assert cost.flops == count_flops(network, (1, 3, 64, 64)) > 2 * cost.macs
