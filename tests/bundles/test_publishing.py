"""The scripts that test trained weights, here on untrained ones: publishing into a bundle, comparing trainings."""

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from monai_lightseg.checkpoints import read_checkpoint_card
from monai_lightseg.networks import create_network
from monai_lightseg.workflows import bundle_receipt
from tests.data.fake_glas import VALIDATION

ROOT = Path(__file__).parents[2]
NAME = "isic_lesion_ultralight_vm_unet"
GLANDS = "glas_gland_unode"


def trained(folder, network="ultralight_vm_unet", done=3, epochs=3, **arguments):
    """What a training of some epochs leaves, but for its weights."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(create_network(network, **arguments).state_dict(), folder / "model.pt")
    losses = [0.5, 0.3, *[0.4] * (done - 2)]
    state = {"best": {"losses": losses}, "trainer": {"max_epochs": epochs}}
    torch.save(state, folder / f"checkpoint_epoch={done}.pt")
    return folder


def published(folder, name, *options):
    """`models` and receipt of a copy of a bundle that was published anew."""
    bundles = folder / "bundles"
    shutil.copytree(ROOT / "bundles" / name, bundles / name, ignore=shutil.ignore_patterns("models"))
    shutil.copy(ROOT / "bundles" / "publish_weights.py", bundles)
    run("bundles/publish_weights.py", name, *options, "--hardware", "a test", cwd=folder)
    models = bundles / name / "models"
    receipt = json.loads((models / "receipt.json").read_text())
    for file, digest in receipt["sha256_of_weights"].items():
        assert hashlib.sha256((models / file).read_bytes()).hexdigest() == digest
    assert (receipt["epochs"], receipt["best_epoch"], receipt["validation_loss"]) == (3, 2, 0.3)
    return models, receipt


def run(script, *options, cwd):
    done = subprocess.run([sys.executable, script, *map(str, options)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_weights_are_published_with_a_receipt(datalist, tmp_path):
    folder = trained(tmp_path / "run")
    options = ["--run", folder, "--data", datalist, "--external", f"Other={datalist}"]
    models, receipt = published(tmp_path, NAME, *options)
    assert receipt["parameters"] == 49_457
    assert receipt["images"] == {"train": 4, "val": 2, "test": 2}
    assert set(receipt["sha256_of_weights"]) == {"model.pt", "model.safetensors"}
    assert read_checkpoint_card(models / "model.safetensors").network == "ultralight_vm_unet"
    for test in receipt["tests"]:
        score = test["scores"]["dice_pooled"]
        assert 0 <= score["low"] <= score["estimate"] <= score["high"] <= 1
        with (models / test["per_image"]).open() as lines:
            assert len(list(csv.DictReader(lines))) == test["images"] == 2


def test_weights_for_glands_are_published_with_a_receipt(glas, tmp_path):
    shipped = bundle_receipt(GLANDS)
    folder = trained(tmp_path / "run", shipped["network"], **shipped["arguments"])
    models, receipt = published(tmp_path, GLANDS, "--run", folder, "--data", glas, "--options", "--reduction 0.5")
    assert receipt["images"] == {"train": 3, "val": len(VALIDATION), "test": 2}
    assert set(receipt["sha256_of_ids"]) == {"train", "val", "test"}
    assert "--reduction 0.5" in receipt["command"]
    assert {test["name"]: test["images"] for test in receipt["tests"]} == {"testA": 1, "testB": 1, "test": 2}
    with (models / "test.csv").open() as lines:
        assert [row["case"] for row in csv.DictReader(lines)] == ["testA_1", "testB_2"]


def test_a_training_that_was_cut_is_not_published(tmp_path):
    folder = trained(tmp_path / "run", epochs=4)
    command = ["--run", folder, "--data", tmp_path, "--hardware", "a test"]
    script = ROOT / "bundles" / "publish_weights.py"
    done = subprocess.run([sys.executable, script, NAME, *command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is that of epoch 3 of 4" in done.stderr


@pytest.mark.slow
def test_trainings_are_compared(datalist, tmp_path):
    """Four branches: the weights that the bundle ships; those of the others are kept for the next comparison."""
    trained(tmp_path / "runs" / "ultralight_x2", done=40, epochs=40, branches=2)
    trained(tmp_path / "runs" / "ultralight_x1", done=39, epochs=40, branches=1)
    out = tmp_path / "result.json"
    shutil.copytree(datalist, tmp_path / "lists" / "isic2018-random42")
    options = ["--lists", tmp_path / "lists", "--out", out, "--weights", tmp_path / "kept"]
    said = run(ROOT / "benchmarks" / "skin_training.py", "--runs", tmp_path / "runs", *options, cwd=tmp_path)
    assert f"ultralight_x1 is not taken from {tmp_path / 'runs'}: 39 of 40 epochs" in said
    assert f"nmode_heun is left out: {tmp_path / 'kept'} has no weights of its command" in said
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["ultralight_x2"]
    branches, *others = json.loads(out.read_text())["groups"].values()
    assert list(branches["models"]) == ["ultralight_x4", "ultralight_x2"]
    assert [comparison["other"] for comparison in branches["first_against_others"]] == ["ultralight_x2"]
    assert others == [{}, {}]

    shutil.rmtree(tmp_path / "runs")
    out.unlink()
    run(ROOT / "benchmarks" / "skin_training.py", *options, cwd=tmp_path)
    assert next(iter(json.loads(out.read_text())["groups"].values())) == branches


def test_kept_weights_of_another_command_are_not_compared(tmp_path):
    """Such as of another number of epochs; where nothing is left, earlier results stay."""
    kept = trained(tmp_path / "kept" / "ultralight_x2", branches=2)
    (kept / "command.txt").write_text("python -m monai.bundle run --epochs 4\n")
    out = tmp_path / "result.json"
    out.write_text("{}")
    script = ROOT / "benchmarks" / "skin_training.py"
    options = ["--lists", tmp_path, "--out", out, "--weights", tmp_path / "kept"]
    done = subprocess.run([sys.executable, script, *options], capture_output=True, text=True)
    assert done.returncode == 2
    assert "ultralight_x2 is left out" in done.stdout
    assert "holds the weights of no training" in done.stderr
    assert out.read_text() == "{}"


@pytest.mark.slow
def test_a_training_is_taken_up_where_it_was_cut(datalist, tmp_path):
    shutil.copytree(datalist, tmp_path / "lists" / "isic2018-random42")
    options = ["--runs", tmp_path / "runs", "--lists", tmp_path / "lists", "--train", "ultralight_x2"]
    folder, last = tmp_path / "runs" / "ultralight_x2", "checkpoint_epoch=40.pt"
    run(ROOT / "benchmarks" / "skin_training.py", *options, cwd=tmp_path)
    whole = torch.load(folder / last, weights_only=True)
    (folder / last).unlink()
    said = run(ROOT / "benchmarks" / "skin_training.py", *options, cwd=tmp_path)
    assert "Epoch[40]" in said and "Epoch[39]" not in said
    resumed = torch.load(folder / last, weights_only=True)
    assert resumed["best"] == whole["best"]
    assert all(torch.equal(value, whole["network"][name]) for name, value in resumed["network"].items())
    assert "Epoch" not in run(ROOT / "benchmarks" / "skin_training.py", *options, cwd=tmp_path)


def test_commands_of_the_trainings():
    said = run(ROOT / "benchmarks" / "skin_training.py", "--commands", cwd=ROOT)
    options = "'--network_def#branches' 2 --dataset_dir isic2018-random42 --epochs 40 --ckpt_dir RUNS/ultralight_x2"
    lines = said.splitlines()
    (place,) = (number for number, line in enumerate(lines) if line.endswith(options))
    assert lines[place - 1] == f"# in a copy of {NAME}"
    assert "--dataset_dir isic2018-sorted --epochs 40 --ckpt_dir RUNS/ultralight_sorted" in said


@pytest.mark.parametrize(
    ("name", "reason"), [("ultralight", "no training is called ultralight"), ("ultralight_x2", "no datalist.json in")]
)
def test_trainings_that_cannot_begin(name, reason, tmp_path):
    command = ["--runs", tmp_path, "--lists", tmp_path, "--train", "ultralight_x1", name]
    script = ROOT / "benchmarks" / "skin_training.py"
    done = subprocess.run([sys.executable, script, *command], capture_output=True, text=True)
    assert done.returncode == 2
    assert reason in done.stderr
    assert list(tmp_path.iterdir()) == []
