"""The example runs as it stands, and goes on where it was."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from monai_lightseg.networks import create_network
from tests.data.fake_glas import VALIDATION, write_glas

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_on_glands.py"


def run(folder, *options, fails=False):
    # The network sees 44 x 64 pixels.
    small = ["--reduced", "--shrink", "8", "--features", "4", "4", "--batch", "2", "--workers", "0", "--device", "cpu"]
    command = [sys.executable, EXAMPLE, "--data", folder / "glas", "--out", folder / "out", *small, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode != 0) is fails, done.stderr
    return (done.stderr if fails else done.stdout).splitlines()


def test_train_on_glands(tmp_path):
    names = ["train_1", "train_2", *(f"train_{number}" for number in VALIDATION), "testA_1", "testB_5"]
    write_glas(tmp_path / "glas", names)
    lines = run(tmp_path, "--epochs", "1")
    assert lines[0] == "unode: 1,186 parameters"
    assert lines[1].startswith("epoch 1: loss ")
    out = tmp_path / "out"
    for convention in ("challenge", "pinckaers"):
        scores = json.loads((out / f"scores_{convention}.json").read_text())
        assert [part["images"] for part in (*scores["parts"].values(), scores["total"])] == [1, 1, 2]
        assert f"{convention}, both (2 images), dataset: object_f1 " in "\n".join(lines)
    create_network("unode", features=(4, 4), out_channels=2).load_state_dict(load_file(out / "best.safetensors"))
    glands = np.asarray(Image.open(out / "instances" / "testB_5.png"))
    assert glands.shape == (40, 48)
    # Only the first four of each test set are drawn.
    assert Image.open(out / "testA_1.png").size == (48, 40)
    assert not (out / "testB_5.png").exists()

    lines = run(tmp_path, "--epochs", "2")
    assert lines[1].startswith("going on after epoch 1")
    assert [line.split(":")[0] for line in lines if line.startswith("epoch")] == ["epoch 2"]

    error = run(tmp_path, "--epochs", "3", "--solver", "heun", fails=True)[-1]
    assert error == f"error: {out / 'state.pt'} was trained with solver rk4: keep that, or give another --out"


def test_a_wrong_folder(tmp_path):
    assert run(tmp_path, fails=True)[-1].startswith(f"error: {tmp_path / 'glas'} holds no")
