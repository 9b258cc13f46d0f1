"""The benchmark scripts run at small sizes, write what they print, and do not time a network that computes wrongly."""

import argparse
import importlib
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import create_network
from monai_lightseg.ops import ScanBackend

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
GRADIENTS = {"u", "delta", "A", "B", "C", "D", "z", "delta_bias"}


def run(script, out, *options):
    command = [sys.executable, BENCHMARKS / script, "--repeats", "1", "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert record["machine"]["processor"]
    assert record["machine"]["torch"] == torch.__version__
    assert record["repeats"] == 1
    return record, done.stdout


def test_scan(tmp_path):
    record, printed = run("scan.py", tmp_path / "scan.json", "--shapes", "2,9,4", "1,16,3")
    assert [table["shape"] for table in record["shapes"]] == [[2, 9, 4], [1, 16, 3]]
    for table in record["shapes"]:
        rows = table["scans"]
        assert {"reference loop", "associative_scan", "selective_scan, torch"} <= set(rows)
        assert ("mambapy pscan" in rows) == (find_spec("mambapy") is not None)
        assert rows["selective_scan, torch"]["forward"]["ratio_to_ours"] == 1
        for name, modes in rows.items():
            assert name in printed
            assert set(modes["training"]["errors"]) == GRADIENTS
            for mode in modes.values():
                assert mode["speedup_over_loop"] > 0
                # The others, the reference loop too, sum less exactly: 2.1e-6 was seen in the gradient of delta_bias.
                assert max(mode["errors"].values()) < (2e-6 if name.startswith("selective_scan") else 1e-5)


def test_scan_refuses_a_malformed_shape(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    with pytest.raises(argparse.ArgumentTypeError, match="4,0,2"):
        importlib.import_module("scan").shape_of("4,0,2")


def test_networks(tmp_path):
    options = ("--size", "64", "--train", "--networks", "unet_bilinear")
    record, printed = run("networks.py", tmp_path / "networks.json", *options)
    rows = record["networks"]
    loops = {f"ultralight_vm_unet, reference loop, {branches}" for branches in ("4 calls", "batched")}
    assert {"ultralight_vm_unet", "unet_bilinear", "MONAI BasicUNet", "MONAI UNet 16..256", *loops} <= set(rows)
    assert any("pscan" in name for name in rows) == (find_spec("mambapy") is not None)
    for name, row in rows.items():
        assert name in printed
        assert row["parameters"] > 0 and row["macs_thop"] > 0 and row["flops"] > 0
        assert row["inference"]["ratio_to_ours"] > 0 and row["training"]["ratio_to_ours"] > 0


def test_networks_sees_a_wrong_scan(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    networks = importlib.import_module("networks")
    right = networks.LOOP
    wrong = ScanBackend("wrong", lambda u, delta, A, *rest: right.run(u, delta, 1.01 * A, *rest), lambda *_: None)
    network, x = networks.ultralight_network().eval(), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        outputs = {
            name: networks.on_backend(backend, network, x) for name, backend in (("right", right), ("wrong", wrong))
        }
        outputs["ultralight_vm_unet"] = network(x)
    networks.check_agreement({name: output for name, output in outputs.items() if name != "wrong"})
    with pytest.raises(RuntimeError, match="wrong differs"):
        networks.check_agreement(outputs)


def test_surgery(tmp_path):
    hosts = ("malunet", "ultralight_vm_unet", "MONAI BasicUNet")
    record, printed = run("surgery.py", tmp_path / "surgery.json", "--size", "32", "--networks", *hosts)
    assert set(record["networks"]) == set(hosts)
    solvers = {f"+ nmODE {solver}" for solver in ("euler", "heun", "multistep")}
    for name, rows in record["networks"].items():
        assert name in printed
        assert set(rows) - {"+ PVM"} == {"as published", *solvers}
        assert ("+ PVM" in rows) == (name != "ultralight_vm_unet")
        assert rows["as published"]["time_ratio"] == 1
        # The decoder of an untouched encoder is what shrinks.
        assert all(rows[solver]["parameters"] < rows["as published"]["parameters"] for solver in solvers)
    assert record["networks"]["malunet"]["+ PVM"]["parameters"] == 128_161


def test_decoders(tmp_path):
    record, printed = run("decoders.py", tmp_path / "decoders.json", "--size", "32")
    assert record["networks"]["unet_bilinear"]["latency_ratio"] == 1
    assert all(name in printed for name in record["networks"])


def test_gland_metrics(tmp_path):
    options = ("--width", "180", "--height", "90", "--columns", "6", "--rows", "3")
    record, printed = run("gland_metrics.py", tmp_path / "gland_metrics.json", *options)
    assert record["true_objects"] == record["predicted_objects"] == 17
    ways = record["ways"]
    assert {"object Hausdorff, this package", "every point with every point", "k-d tree of all points"} <= set(ways)
    assert ways["object Hausdorff, this package"]["time_ratio"] == 1
    for name, way in ways.items():
        assert name in printed and way["time_ratio"] > 0


def test_gland_metrics_sees_a_wrong_figure(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    script = importlib.import_module("gland_metrics")
    options = ["--width", "60", "--height", "60", "--columns", "2", "--rows", "2", "--repeats", "1"]
    monkeypatch.setattr(sys, "argv", ["gland_metrics.py", *options, "--out", str(tmp_path / "out.json")])
    monkeypatch.setattr(script, "by_tree", lambda one, other: 1.01 * script.by_scipy(one, other))
    with pytest.raises(RuntimeError, match="k-d tree"):
        script.main()
    assert not (tmp_path / "out.json").exists()


def test_ode_block(tmp_path):
    pytest.importorskip("torchdiffeq")
    record, printed = run("ode_block.py", tmp_path / "ode_block.json", "--channels", "4", "--size", "12", "16")
    rows = record["solvers"]
    released = rows["dopri5, adjoint, as released"]
    assert released["time_ratio"] == 1
    # Released and ours evaluate the same rate; in float32 that shows to three digits.
    assert rows["dopri5, adjoint"]["error"] == pytest.approx(released["error"], rel=0.05)
    assert rows["rk4 x 2, checkpointed"]["error"] == rows["rk4 x 2, keeping all"]["error"]
    assert rows["rk4 x 2, checkpointed"]["kept_megabytes"] <= released["kept_megabytes"]
    assert rows["rk4 x 2, checkpointed"]["evaluations_backward"] == 8
    assert all(name in printed for name in rows)


def test_ode_tradeoff(tmp_path):
    pytest.importorskip("torchdiffeq")
    plot = tmp_path / "plot.png"
    options = ("--features", "16", "16", "--size", "16x24", "--plot", plot)
    record, printed = run("ode_tradeoff.py", tmp_path / "ode_tradeoff.json", *options)
    assert "untrained" in printed
    rows = record["solvers"]
    for name, row in rows.items():
        assert name in printed
        assert row["error"] > 0 and 0 <= row["changed"] <= 1 and row["time_ratio"] > 0
    assert rows["dopri5, 1e-03"]["time_ratio"] == 1
    # Three blocks: two levels down, one up.
    assert [rows[f"{name}, 2 steps"]["evaluations"] for name in ("rk4", "heun", "euler")] == [24, 12, 6]
    for looser, tighter in (("dopri5, 1e-01", "dopri5, 1e-05"), ("rk4, 1 step", "rk4, 8 steps")):
        assert rows[looser]["evaluations"] < rows[tighter]["evaluations"]
        assert rows[looser]["error"] > rows[tighter]["error"] > record["reference_uncertainty"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_receptive_field(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torchdiffeq")
    monkeypatch.syspath_prepend(BENCHMARKS)
    out, picture, weights, photo = (tmp_path / name for name in ("out.json", "field.png", "weights.pt", "photo.png"))
    torch.save(create_network("unode", features=(8, 8)).state_dict(), weights)
    Image.fromarray(np.random.default_rng(0).integers(256, size=(40, 60, 3), dtype=np.uint8)).save(photo)
    options = ["--features", "8", "8", "--size", "16x24", "--pixels", "8,12", "0,23", "--picture", str(picture)]
    options += ["--weights", str(weights), "--image", str(photo), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["receptive_field.py", *options])
    importlib.import_module("receptive_field").main()
    record, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert record["machine"]["torch"] == torch.__version__
    assert (record["unode_weights"], record["image"]) == ("weights.pt", "photo.png")
    assert "untrained" in record["uresnet_weights"]
    rows = record["networks"]
    assert rows["unode, rk4, 8 steps"]["evaluations"] == 96 and rows["uresnet"]["evaluations"] is None
    for name, row in rows.items():
        assert name in printed
        for half, most in zip(row["radii"]["50%"], row["radii"]["90%"], strict=True):
            assert 0 <= half < most < 28
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_weights_of_unode(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    inputs = importlib.import_module("unode_inputs")
    network, file = create_network("unode", features=(4, 6), out_channels=3), tmp_path / "best.pt"
    torch.save({f"network.{key}": tensor for key, tensor in network.state_dict().items()}, file)
    loaded = inputs.network_of("unode", [4, 6], file)
    assert not loaded.training
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in network.state_dict().items())
    for name, features in (("unode", [4, 8]), ("unode", [4, 6, 8]), ("uresnet", [4, 6])):
        with pytest.raises(LightsegError, match=rf"best\.pt holds no weights of {name} with features"):
            inputs.network_of(name, features, file)


@pytest.mark.parametrize("text", ["16", "16x", "0x16", "16x-1", "16x16x16"])
def test_options_refuse_what_is_no_size_or_pixel(text, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        importlib.import_module("unode_inputs").size_of(text)
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        importlib.import_module("receptive_field").pixel_of(text)


def test_interval_coverage(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(BENCHMARKS)
    script, out = importlib.import_module("interval_coverage"), tmp_path / "out.json"
    options = ["--images", "20", "30", "--test-images", "25", "--simulations", "40", "--test-simulations", "30"]
    options += ["--pooled-simulations", "40", "--resamples", "99", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["interval_coverage.py", *options])
    monkeypatch.setattr(script, "POPULATION", 20_000)
    script.main()
    record, printed = json.loads(out.read_text()), capsys.readouterr().out
    assert record["machine"]["scipy"] and record["simulations"] == record["pooled_simulations"] == 40
    assert set(record["coverage"]) == set(record["distributions"]) == {"skewed", "symmetric", "pooled"}
    for name, rows in record["coverage"].items():
        assert set(rows) == set(script.SIZE_CORRELATIONS if name == "pooled" else ("t", "logit", "bootstrap", "bca"))
        for method, row in rows.items():
            assert method in printed and set(row) == {"20", "30"}
            # Intervals that hold nothing, or everything, are not what was simulated.
            assert all(0.5 < cell["share"] <= 1 - cell["too_high"] for cell in row.values())
    intervals = {"interval of difference", "interval of pooled difference"}
    assert set(record["false_alarms"]) == {"paired_wilcoxon", "paired_permutation"} | intervals
    assert all(row["25"]["share"] < 0.5 for row in record["false_alarms"].values())


def test_simulated_scores_are_what_the_benchmark_says(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    script, rng = importlib.import_module("interval_coverage"), np.random.default_rng(0)
    for name, mean in script.TRUE_MEANS.items():
        scores = script.draw(name, 200_000, rng)
        # Four standard errors of a mean.
        assert scores.mean() == pytest.approx(mean, abs=4 * scores.std() / 200_000**0.5)
        assert scores.min() >= 0 and scores.max() <= 1
    pair = script.draw_pair(200_000, rng)
    assert pair.mean(axis=1) == pytest.approx([script.TRUE_MEANS["skewed"]] * 2, abs=4 * pair.std() / 200_000**0.5)
    # Less than between the normal numbers, for the failures go together less.
    assert 0.6 < np.corrcoef(pair)[0, 1] < 0.8
    for correlation in script.SIZE_CORRELATIONS.values():
        counts = script.draw_counts(correlation, 200_000, rng)
        assert counts.min() > -1e-12 and counts.sum(axis=1) == pytest.approx(1)
        dice, shares = script.pooled_dice(counts), counts[:, [0, 3]].sum(axis=1)
        assert dice.mean() == pytest.approx(script.TRUE_MEANS["skewed"], abs=4 * dice.std() / 200_000**0.5)
        assert np.median(shares) == pytest.approx(0.13, rel=0.02)
        # Failures and clipped sizes lower it.
        assert np.corrcoef(dice, shares)[0, 1] == pytest.approx(0.7 * correlation, abs=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="about memory under Linux")
def test_kept_memory(tmp_path):
    options = ("--size", "32", "--batch", "2", "--networks", "ulite")
    record, printed = run("kept_memory.py", tmp_path / "kept_memory.json", *options)
    row = record["networks"]["ulite"]
    assert row["ratio"] == pytest.approx(row["default"] / row["kept"])
    assert f"{row['ratio']:.2f}x" in printed
