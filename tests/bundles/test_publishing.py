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

ROOT = Path(__file__).parents[2]
NAME = "isic_lesion_ultralight_vm_unet"


def trained(folder, epochs=3, **arguments):
    """What a training of three epochs leaves, but for its weights."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(create_network("ultralight_vm_unet", **arguments).state_dict(), folder / "model.pt")
    state = {"best": {"losses": [0.5, 0.3, 0.4]}, "trainer": {"max_epochs": epochs}}
    torch.save(state, folder / "checkpoint_epoch=3.pt")
    return folder


def run(script, *options, cwd):
    done = subprocess.run([sys.executable, script, *map(str, options)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_weights_are_published_with_a_receipt(datalist, tmp_path):
    bundles = tmp_path / "bundles"
    shutil.copytree(ROOT / "bundles" / NAME, bundles / NAME, ignore=shutil.ignore_patterns("models"))
    shutil.copy(ROOT / "bundles" / "publish_weights.py", bundles)
    folder = trained(tmp_path / "run")
    external = f"Other={datalist}"
    options = ["--data", datalist, "--external", external, "--hardware", "a test"]
    run("bundles/publish_weights.py", NAME, "--run", folder, *options, cwd=tmp_path)
    models = bundles / NAME / "models"
    receipt = json.loads((models / "receipt.json").read_text())
    assert (receipt["epochs"], receipt["best_epoch"], receipt["validation_loss"]) == (3, 2, 0.3)
    assert receipt["parameters"] == 49_457
    assert receipt["images"] == {"train": 4, "val": 2, "test": 2}
    assert set(receipt["sha256_of_weights"]) == {"model.pt", "model.safetensors"}
    for name, digest in receipt["sha256_of_weights"].items():
        assert hashlib.sha256((models / name).read_bytes()).hexdigest() == digest
    assert read_checkpoint_card(models / "model.safetensors").network == "ultralight_vm_unet"
    for test in receipt["tests"]:
        score = test["scores"]["dice_pooled"]
        assert 0 <= score["low"] <= score["estimate"] <= score["high"] <= 1
        with (models / test["per_image"]).open() as lines:
            assert len(list(csv.DictReader(lines))) == test["images"] == 2


def test_a_training_that_was_cut_is_not_published(tmp_path):
    folder = trained(tmp_path / "run", epochs=4)
    command = ["--run", folder, "--data", tmp_path, "--hardware", "a test"]
    script = ROOT / "bundles" / "publish_weights.py"
    done = subprocess.run([sys.executable, script, NAME, *command], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is that of epoch 3 of 4" in done.stderr


@pytest.mark.slow
def test_trainings_are_compared(datalist, tmp_path):
    for branches in (4, 2):
        trained(tmp_path / "runs" / f"ultralight_x{branches}", branches=branches)
    out = tmp_path / "result.json"
    shutil.copytree(datalist, tmp_path / "lists" / "isic2018-random42")
    options = ["--runs", tmp_path / "runs", "--lists", tmp_path / "lists", "--out", out]
    said = run(ROOT / "benchmarks" / "skin_training.py", *options, cwd=tmp_path)
    assert "not there: ultralight_x1" in said
    (group, *_) = json.loads(out.read_text())["groups"].values()
    assert list(group["models"]) == ["ultralight_x4", "ultralight_x2"]
    assert [comparison["other"] for comparison in group["first_against_others"]] == ["ultralight_x2"]


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
    line = "'--network_def#branches' 2 --dataset_dir isic2018-random42 --epochs 40 --ckpt_dir RUNS/ultralight_x2"
    assert line in said
    assert "--dataset_dir isic2018-sorted --epochs 40 --ckpt_dir RUNS/ultralight_sorted" in said
