import json
import os
from typing import Any

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from monai_lightseg import profiling
from monai_lightseg.cli.app import app
from monai_lightseg.cli.values import network_arguments, read_sides
from monai_lightseg.networks import create_network
from monai_lightseg.profiling import count_flops, count_macs, count_macs_thop, peak_activation_bytes, processor_name


def run_profile(*words: str) -> Result:
    return CliRunner().invoke(app, ["profile", *words, "--repeats", "2"])


def json_of(*words: str) -> Any:
    result = run_profile(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_table_names_networks_figures_and_machine() -> None:
    result = run_profile("nmode_unet", "--size", "32", "--argument", "solver=heun")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "input",
        "1x3x32x32,",
        "threads",
        "1",
        "unet_bilinear",
        "nmode_unet",
        "solver=heun",
        "ratio",
    ]
    assert [line[:34].rstrip() for line in lines[1:-1]] == [
        "parameters",
        "MACs as the papers count, M",
        "MACs as built, M",
        "FLOPs as built, scans included, M",
        "peak activation memory, MB",
        "CPU time of a forward, p10, ms",
        "CPU time of a forward, p50, ms",
        "CPU time of a forward, p90, ms",
    ]
    assert lines[-1] == f"{processor_name()}, torch {torch.__version__}, threads 1, repeats 2"


def test_json_holds_the_figures_of_both() -> None:
    size = (2, 3, 32, 64)
    record = json_of("ultralight_vm_unet", "--size", "32x64", "--batch", "2", "--argument", "branches=2")
    for key, network in (
        ("network", create_network("ultralight_vm_unet", branches=2)),
        ("baseline", create_network("unet_bilinear")),
    ):
        assert record[key]["macs_thop"] == count_macs_thop(network, size)
        assert record[key]["macs"] == count_macs(network, size)
        assert record[key]["flops"] == count_flops(network, size)
        assert record[key]["peak_activation_bytes"] == peak_activation_bytes(network, size)
        assert 0 < record[key]["cpu_seconds_p10"] <= record[key]["cpu_seconds"] <= record[key]["cpu_seconds_p90"]
    assert record["network"]["parameters"] == 69_589
    assert record["network"]["arguments"] == {"branches": 2}
    assert record["baseline"]["name"] == "unet_bilinear"
    assert record["ratios"]["parameters"] == 69_589 / record["baseline"]["parameters"]
    assert record["ratios"]["cpu_seconds"] == record["network"]["cpu_seconds"] / record["baseline"]["cpu_seconds"]
    assert record["input_size"] == list(size)
    assert (record["threads"], record["repeats"]) == (1, 2)
    assert (record["processor"], record["torch"]) == (processor_name(), str(torch.__version__))


def test_baseline_does_the_same_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    record = json_of(
        "nmode_unet",
        *("--baseline", "ultralight_vm_unet", "--size", "32", "--threads", "2"),
        *("--argument", "in_channels=1", "--argument", "out_channels=4", "--argument", "solver=heun"),
    )
    assert record["baseline"]["arguments"] == {"in_channels": 1, "out_channels": 4}
    assert record["input_size"] == [1, 1, 32, 32]
    assert record["threads"] == 2


def test_one_side_is_that_of_all_dimensions() -> None:
    features = "features=[2,4]"
    record = json_of(
        "unet_bilinear",
        "--baseline",
        "nmode_unet",
        "--size",
        "8",
        "--argument",
        "spatial_dims=3",
        "--argument",
        features,
    )
    assert record["input_size"] == [1, 3, 8, 8, 8]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nmode_unt"], ["no network 'nmode_unt'; ", "did you mean 'nmode_unet'?"]),
        (
            ["nmode_unet", "--baseline", "unet_biliner"],
            ["no network 'unet_biliner'; ", "did you mean 'unet_bilinear'?"],
        ),
        (["nmode_unet", "--argument", "solver=huen"], ["nmode_unet cannot be built with ", "did you mean 'heun'?"]),
        (["nmode_unet", "--argument", "solvr=heun"], ["nmode_unet has no argument solvr; it has: ", "solver, "]),
        (["ultralight_vm_unet", "--argument", "spatial_dims=3"], ["spatial_dims must be 2"]),
        (["nmode_unet", "--argument", "features=3"], ["nmode_unet cannot be built with {'features': 3}: "]),
        (["nmode_unet", "--argument", "spatial_dims=2.0"], ["spatial_dims is to be a whole number, got 2.0"]),
        (["nmode_unet", "--argument", "in_channels=true"], ["in_channels is to be a whole number, got True"]),
    ],
)
def test_mistakes_are_one_line(words: list[str], said: list[str]) -> None:
    result = run_profile(*words, "--size", "32")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert all(text in result.stderr for text in said)


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_an_input_that_a_network_refuses_is_one_line(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise kind("sides too small:\ngive more")

    monkeypatch.setattr(profiling, "compare", refuse)
    result = run_profile("nmode_unet", "--size", "4")
    assert result.exit_code == 1
    assert result.stderr == "error: nmode_unet and unet_bilinear at --size 4: sides too small: give more\n"


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_network_that_cannot_run_is_one_line() -> None:
    result = run_profile(
        "unet_bilinear", "--size", "32", "--argument", "out_channels=0", "--argument", "features=[2,4]"
    )
    assert result.exit_code == 1
    assert result.stderr.startswith("error: unet_bilinear and ") and result.stderr.count("\n") == 1


def test_threads_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    result = run_profile("nmode_unet", "--threads", "3")
    assert result.exit_code == 2
    assert "3 is more than the 2 cores here" in result.stderr


def test_progress_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def stop(*_: object, **options: Any) -> None:
        given.update(options)
        raise ValueError("stop")

    monkeypatch.setattr(profiling, "compare", stop)
    run_profile("unet_bilinear", "--size", "32")
    assert given["progress"] is True


@pytest.mark.parametrize(
    "words",
    [
        ["--size", "0"],
        ["--size", "8x8x8"],
        ["--size", "x"],
        ["--argument", "branches"],
        ["--repeats", "0"],
        ["--batch", "0"],
    ],
)
def test_usage_errors(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["profile", "nmode_unet", *words])
    assert (result.exit_code, result.stdout) == (2, "")


def test_arguments_are_json_or_text() -> None:
    texts = [
        "branches=2",
        "solver=heun",
        "features=[8, 16]",
        "flag=true",
        "rate=0.5",
        "text=a=b",
        'quoted="2"',
        "none=null",
    ]
    assert network_arguments(texts) == {
        "branches": 2,
        "solver": "heun",
        "features": [8, 16],
        "flag": True,
        "rate": 0.5,
        "text": "a=b",
        "quoted": "2",
        "none": None,
    }
    assert network_arguments([]) == {}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["branches"], "'branches' is not NAME=VALUE"),
        (["=2"], "'=2' is not NAME=VALUE"),
        (["a b=2"], "'a b=2' is not NAME=VALUE"),
        (["a=1", "a=2"], "a is given twice"),
        (["flag=False"], "write true, false or null"),
    ],
)
def test_malformed_arguments(texts: list[str], said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        network_arguments(texts)


def test_sides() -> None:
    assert read_sides("96", 3, "--size") == (96, 96, 96)
    assert read_sides("192x256", 2, "--size") == (192, 256)
    with pytest.raises(typer.BadParameter, match="'192x256' has 2 sides, not 3"):
        read_sides("192x256", 3, "--size")
