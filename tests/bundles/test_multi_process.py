"""Two processes train a bundle as one does with twice the batch; see docs/multi_gpu.md."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from monai_lightseg.data import Split, synthetic_cases, write_datalist
from monai_lightseg.networks import create_network
from monai_lightseg.workflows.best_weights import BestWeights
from monai_lightseg.workflows.bundles import bundle_folder
from tests.data.fake_glas import VALIDATION, write_glas

ROOT = Path(__file__).parents[2]
EPOCHS = 3


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    """Sixteen drawn lesions train, two batches of eight; five validate, of which one process gets three."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    cases = synthetic_cases(21, size=(64, 80))
    ids = tuple(case.id for case in cases)
    write_datalist(cases, Split(ids[:16], ids[16:], ()), name="drawn", folder=folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def without_chance(tmp_path_factory, lesions):
    """Folders of one process and of two that train the same network on the same images, and what they logged."""
    folder = tmp_path_factory.mktemp("ultralight")
    configs = write_configs(folder, lesions, random_transforms=False)
    one, two = folder / "one", folder / "two"
    return one, train(configs, one, processes=1), two, train(configs, two, processes=2)


def test_two_processes_follow_the_loss_of_one(without_chance):
    _, of_one, _, of_two = without_chance
    assert_same_losses(of_one, of_two)


@pytest.mark.slow
def test_two_processes_follow_the_loss_of_one_on_glands(tmp_path):
    names = [f"train_{number}" for number in (1, 2, 3, 4, *VALIDATION)]
    glas = write_glas(tmp_path / "glas", names)
    configs = write_configs(tmp_path, glas, bundle="glas_gland_unode", random_transforms=False)
    # Adam's first step goes by the sign of a gradient, which is chance for a bias in front of a norm.
    options = ("--reduction", "0.5", "--optimizer#_target_", "torch.optim.SGD", "--learning_rate", "0.001")
    logs = [train(configs, tmp_path / str(number), *options, processes=number, images_a_step=2) for number in (1, 2)]
    assert_same_losses(*logs)


def test_weights_of_two_processes_load_where_one_runs(without_chance):
    _, _, two, _ = without_chance
    checkpoint = torch.load(two / f"checkpoint_epoch={EPOCHS}.pt", weights_only=True)
    network = create_network("ultralight_vm_unet")
    network.load_state_dict(checkpoint["network"])
    network.load_state_dict(torch.load(two / "model.pt", weights_only=True))
    assert len(checkpoint["best"]["losses"]) == EPOCHS


def test_the_first_process_alone_logs_and_writes(without_chance):
    one, of_one, two, of_two = without_chance
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    for line in ("Saved checkpoint", "Engine run finished"):
        assert of_two.count(line) == of_one.count(line) > 0


def test_processes_but_the_first_know_the_losses_and_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    best = BestWeights(torch.nn.Linear(1, 1), str(tmp_path / "model.pt"), "val_loss")
    best(SimpleNamespace(state=SimpleNamespace(metrics={"val_loss": 0.5})))
    assert list(tmp_path.iterdir()) == []
    assert best.state_dict() == {"losses": [0.5]}


@pytest.mark.slow
def test_two_processes_resume_to_the_same_weights(tmp_path, lesions):
    """With chance and with batch norm, and with more batches of validation in one process than in the other."""
    configs = write_configs(tmp_path, lesions, bundle="isic_lesion_nmode_unet", random_transforms=True)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    small = ("--validate#dataloader#batch_size", "1")
    train(configs, whole, *small, processes=2)
    train(configs, resumed, *small, "--resume", str(whole / f"checkpoint_epoch={EPOCHS - 1}.pt"), processes=2)
    expected, found = (
        torch.load(folder / f"checkpoint_epoch={EPOCHS}.pt", weights_only=True) for folder in (whole, resumed)
    )
    assert found["best"] == expected["best"]
    assert all(torch.equal(value, found["network"][name]) for name, value in expected["network"].items())


def assert_same_losses(of_one, of_two):
    for name in ("train_loss", "val_loss", "val_dice_per_image", "val_dice_pooled"):
        expected = logged(of_one, name)
        assert len(expected) == EPOCHS
        # The gradients of two halves, added in another order: 1e-7 at each of six steps, of which Adam makes up to 1e-5
        # of a weight. Half the images, or two networks apart, give other losses in the third digit.
        assert logged(of_two, name) == pytest.approx(expected, rel=1e-5)


def write_configs(folder, data, *, bundle="isic_lesion_ultralight_vm_unet", random_transforms):
    """The configs of a bundle, for small images; losses are logged to nine digits."""
    configs = folder / "configs"
    configs.mkdir()
    source = bundle_folder(bundle) / "configs"
    content = json.loads((source / "train.json").read_text(encoding="utf-8"))
    content["dataset_dir"] = str(data)
    content["epochs"] = EPOCHS
    if "image_size" in content:
        content["image_size"] = [64, 64]
    if not random_transforms:
        content["train"]["random_transforms"] = []
    for handler in content["train"]["handlers"] + content["validate"]["handlers"]:
        if isinstance(handler, dict) and handler["_target_"] == "StatsHandler":
            handler["key_var_format"] = "{}: {:.9f} "
    (configs / "train.json").write_text(json.dumps(content), encoding="utf-8")
    for name in ("multi_gpu_train.json", "logging.conf"):
        shutil.copy(source / name, configs)
    return configs


def train(configs, out, *options, processes, images_a_step=8):
    """Train into `out`; return the log."""
    files = [str(configs / "train.json")]
    launcher = []
    if processes > 1:
        files.append(str(configs / "multi_gpu_train.json"))
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
    command = [sys.executable, "-m", *launcher, "monai.bundle", "run", "--config_file", str(files)]
    options = ("--ckpt_dir", str(out), "--batch_size", str(images_a_step // processes), *options)
    # Two processes need two GPUs, or none.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def logged(log, name):
    """The figure of each epoch, first to last."""
    return [float(figure) for figure in re.findall(rf"Metrics -- .*\b{name}: (\S+)", log)]
