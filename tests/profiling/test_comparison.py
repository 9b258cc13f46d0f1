"""compare(): its figures, ratios and table."""

import math
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from monai_lightseg.networks import create_network, replace_decoder
from monai_lightseg.profiling import (
    Comparison,
    NetworkCost,
    compare,
    comparison,
    count_flops,
    count_macs,
    interleaved_cpu_seconds,
    peak_activation_bytes,
    processor_name,
)

BEFORE = NetworkCost(
    parameters=2_000_000,
    macs_thop=4_000_000_000,
    macs=8_000_000,
    flops=16_000_000,
    peak_activation_bytes=8_000_000,
    cpu_seconds_p10=0.4,
    cpu_seconds=0.5,
    cpu_seconds_p90=0.8,
)
AFTER = NetworkCost(
    parameters=1_000_000,
    macs_thop=1_000_000_000,
    macs=2_000_000,
    flops=4_000_000,
    peak_activation_bytes=2_000_000,
    cpu_seconds_p10=0.2,
    cpu_seconds=0.25,
    cpu_seconds_p90=0.6,
)
BOTH = Comparison(BEFORE, AFTER, (1, 3, 64, 64), threads=2)


def test_ratios_are_after_over_before():
    assert BOTH.ratios() == pytest.approx(
        {
            "parameters": 0.5,
            "macs_thop": 0.25,
            "macs": 0.25,
            "flops": 0.25,
            "peak_activation_bytes": 0.25,
            "cpu_seconds_p10": 0.5,
            "cpu_seconds": 0.5,
            "cpu_seconds_p90": 0.75,
        }
    )


def test_ratio_to_nothing_is_nan():
    nothing = replace(BEFORE, macs_thop=0)
    assert math.isnan(Comparison(nothing, AFTER, (1, 3, 64, 64), threads=1).ratios()["macs_thop"])


def test_table():
    lines = str(BOTH).splitlines()
    assert lines[0].split() == ["input", "1x3x64x64,", "threads", "2", "before", "after", "ratio"]
    assert [(line[:34].rstrip(), line[34:].split()) for line in lines[1:]] == [
        ("parameters", ["2,000,000", "1,000,000", "0.5000"]),
        ("MACs as the papers count, M", ["4,000.000", "1,000.000", "0.2500"]),
        ("MACs as built, M", ["8.000", "2.000", "0.2500"]),
        ("FLOPs as built, scans included, M", ["16.000", "4.000", "0.2500"]),
        ("peak activation memory, MB", ["8.000", "2.000", "0.2500"]),
        ("CPU time of a forward, p10, ms", ["400.000", "200.000", "0.5000"]),
        ("CPU time of a forward, p50, ms", ["500.000", "250.000", "0.5000"]),
        ("CPU time of a forward, p90, ms", ["800.000", "600.000", "0.7500"]),
    ]
    assert len({len(line) for line in lines}) == 1


def test_table_under_other_names():
    lines = BOTH.table("unet", "a network with a name longer than its column").splitlines()
    assert lines[0].endswith("unet  a network with a name longer than its column    ratio")
    assert [line.split()[-3:] for line in lines[1:]] == [line.split()[-3:] for line in str(BOTH).splitlines()[1:]]
    assert len({len(line) for line in lines}) == 1


def test_compare_counts_both_networks():
    before = nn.Conv2d(3, 8, 3, padding=1)
    after = nn.Conv2d(3, 4, 1)
    compared = compare(before, after, input_size=(2, 3, 16, 16), repeats=3)
    assert compared.before.parameters == 224
    assert compared.after.parameters == 16
    assert compared.before.macs == compared.before.macs_thop == 2 * 256 * 8 * 27
    assert compared.after.flops == 2 * 2 * 256 * 4 * 3
    assert compared.input_size == (2, 3, 16, 16)
    assert compared.threads == 1
    assert compared.before.peak_activation_bytes == peak_activation_bytes(before, (2, 3, 16, 16)) == 2 * 8 * 256 * 4
    assert compared.after.peak_activation_bytes == 2 * 4 * 256 * 4
    for cost in (compared.before, compared.after):
        assert 0 < cost.cpu_seconds_p10 <= cost.cpu_seconds <= cost.cpu_seconds_p90


def test_percentiles_of_the_samples(monkeypatch):
    samples = {"before": [float(number) for number in range(10, -1, -1)], "after": [3.0]}
    monkeypatch.setattr(comparison, "interleaved_cpu_seconds", lambda *_, **__: samples)
    compared = compare(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), input_size=(1, 3, 4, 4))
    costs = (compared.before, compared.after)
    times = [(cost.cpu_seconds_p10, cost.cpu_seconds, cost.cpu_seconds_p90) for cost in costs]
    assert times == [(1, 5, 9), (3, 3, 3)]


@pytest.mark.parametrize("training", [True, False])
def test_networks_are_left_as_they_were(training):
    before = create_network("unet_bilinear", features=(4, 8)).train(training)
    after = replace_decoder(before)
    kept = [{key: tensor.clone() for key, tensor in network.state_dict().items()} for network in (before, after)]
    threads = torch.get_num_threads()
    compared = compare(before, after, input_size=(1, 3, 16, 16), repeats=1)
    assert compared.ratios()["parameters"] < 1
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
    assert {name: len(samples) for name, samples in seconds.items()} == {"a": 2, "b": 2}
    assert all(sample >= 0 for samples in seconds.values() for sample in samples)


@pytest.mark.parametrize(
    ("progress", "terminal", "shown"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_progress_is_shown_on_terminals(progress, terminal, shown, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    interleaved_cpu_seconds({"a": lambda: None}, repeats=1, progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert ("time: 100%" in err) is shown and bool(err) is shown


def test_compare_passes_progress_on(monkeypatch):
    given = {}

    def stand_in(calls, **options):
        given.update(options)
        return {name: [1.0] for name in calls}

    monkeypatch.setattr(comparison, "interleaved_cpu_seconds", stand_in)
    compare(nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 1), input_size=(1, 3, 4, 4), progress=True)
    assert given["progress"] is True


def test_at_least_one_turn_is_measured():
    with pytest.raises(ValueError, match="repeats must be 1 or more, got 0"):
        interleaved_cpu_seconds({"a": lambda: None}, repeats=0)


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


def test_processor_has_a_name():
    assert processor_name().strip()
