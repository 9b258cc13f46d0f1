import inspect
import json
import math
import sysconfig
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app
from nnunet_trainers import commands, doctor
from nnunet_trainers.doctor import Check
from nnunet_trainers.seed_results import SeedResult, SeedTable

GOOD = Check("torch", True, "2.8.0")
BAD = Check("nnUNet_raw", False, "not set", "export nnUNet_raw=/path")


def lightseg(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["nnunet", *arguments])


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("train", "18 2d 0 -tr nnUNetTrainerNmODEDecoder_5epochs -device cpu --c"),
        ("train", "-tr nnUNetTrainer -p=Plans 18 2d all --val_best -h -pretrained_weights a/b"),
        ("predict", "-i in -o out -d 18 -c 2d -f 0 1 -tr X -chk checkpoint_best.pth --disable_tta -npp 1 -device cpu"),
    ],
)
def test_arguments_pass_as_they_are(command: str, arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setattr(commands, command, seen.append)
    assert lightseg(command, *arguments.split()).exit_code == 0
    assert seen == [arguments.split()]


@pytest.mark.parametrize("arguments", ["18 2d 0 -tr X --c --seeds 3", "--seeds=3 18 2d 0 -tr X --c"])
def test_seeds(arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[list[str], int]] = []
    scores = [SeedResult(0, 0.5, 0.75), SeedResult(1, 1.0, math.nan)]

    def train_seeds(passed: list[str], seeds: int) -> tuple[SeedTable, Path]:
        seen.append((passed, seeds))
        return SeedTable("Dataset018_ISIC", "X", "nnUNetPlans", "2d", "0", scores[: len(seen)]), tmp_path

    monkeypatch.setattr(commands, "train_seeds", train_seeds)
    one, two = lightseg("train", *arguments.split()), lightseg("train", *arguments.split())
    assert seen == [(["18", "2d", "0", "-tr", "X", "--c"], 3)] * 2
    assert [line.split() for line in one.output.splitlines()][-5:-1] == [
        ["mean", "0.5000", "0.7500"],
        ["std", "-", "-"],
        ["min", "0.5000", "0.7500"],
        ["max", "0.5000", "0.7500"],
    ]
    assert two.output == (
        "Dataset018_ISIC 2d, fold 0, X, nnUNetPlans\n"
        "validation Dice   per-image mean   pooled\n"
        "seed 0                    0.5000   0.7500\n"
        "seed 1                    1.0000      nan\n"
        "mean                      0.7500      nan\n"
        "std                       0.3536      nan\n"
        "min                       0.5000      nan\n"
        "max                       1.0000      nan\n"
        f"wrote {tmp_path}\n"
    )


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_seeds_below_one(number: str) -> None:
    result = lightseg("train", "18", "2d", "0", "-tr", "X", "--seeds", number)
    assert result.exit_code == 2
    assert "--seeds" in result.stderr


def test_training_reaches_nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    for variable in ("nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.delenv("nnUNet_raw", raising=False)
    monkeypatch.setenv("nnUNet_extTrainer", "")
    result = lightseg("train", "18", "2d", "0")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: dataset '18'")
    assert len(result.stderr.splitlines()) == 1


def test_exit_status_of_nnunet_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def exits(arguments: list[str]) -> None:
        raise SystemExit(2)

    monkeypatch.setattr(commands, "train", exits)
    assert lightseg("train").exit_code == 2


@pytest.mark.parametrize(("checks", "status"), [([GOOD], 0), ([GOOD, BAD], 1)])
def test_doctor(checks: list[Check], status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(doctor, "examine", lambda dataset: asked.append(dataset) or checks)
    text, machine = lightseg("doctor"), lightseg("doctor", "18", "--json")
    assert asked == [None, "18"]
    assert (text.exit_code, machine.exit_code) == (status, status)
    assert "ok   torch: 2.8.0\n" in text.output
    assert ("FAIL nnUNet_raw: not set\n     remedy: export nnUNet_raw=/path\n" in text.output) == (status == 1)
    printed = json.loads(machine.output)
    assert printed["ok"] == (status == 0)
    assert [Check(**check) for check in printed["checks"]] == checks


def test_enable_and_disable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    assert "nothing to remove" in lightseg("disable").output
    assert str(tmp_path / "zz_lightseg_nnunet.pth") in lightseg("enable").output
    assert lightseg("disable").output == f"removed {tmp_path / 'zz_lightseg_nnunet.pth'}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    plans = pytest.importorskip("nnunet_trainers.plans")
    monkeypatch.setenv("nnUNet_preprocessed", "/preprocessed")
    seen: list[dict[str, Any]] = []

    def write_light_plans(dataset: str, **options: Any) -> Path:
        seen.append({"dataset": dataset, **options})
        return Path("/written.json")

    defaults = inspect.signature(plans.write_light_plans).parameters
    seen.append({name: parameter.default for name, parameter in defaults.items()})
    monkeypatch.setattr(plans, "write_light_plans", write_light_plans)
    return seen


def test_plan_has_the_defaults_of_its_function(planned: list[dict[str, Any]]) -> None:
    result = lightseg("plan", "18")
    assert result.exit_code == 0
    assert "/written.json" in result.output
    assert planned[1] == planned[0] | {"dataset": "18"}


def test_plan_options(planned: list[dict[str, Any]]) -> None:
    options = "--patch 128x192 --batch 4 --features 8,16,16 --source-plans A --name B"
    assert lightseg("plan", "Dataset018_X", *options.split()).exit_code == 0
    assert planned[1] == {
        "dataset": "Dataset018_X",
        "patch": (128, 192),
        "batch": 4,
        "features": (8, 16, 16),
        "source": "A",
        "name": "B",
    }


@pytest.mark.parametrize("option", [["--patch", "256"], ["--patch", "0x4"], ["--features", "16,"], ["--batch", "x"]])
def test_plan_usage_errors(option: list[str]) -> None:
    result = lightseg("plan", "18", *option)
    assert result.exit_code == 2
    assert option[0] in result.stderr


def test_plan_without_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    result = lightseg("plan", "18")
    assert result.exit_code == 1
    assert (
        result.stderr
        == "error: nnUNet_preprocessed is not set: export nnUNet_preprocessed=/path/to/nnUNet_preprocessed\n"
    )
