"""The example runs as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from monai_lightseg.data import synthetic_cases

EXAMPLE = Path(__file__).parents[2] / "examples" / "train_on_your_folder.py"


def test_train_on_your_folder(tmp_path):
    pytest.importorskip("nnunetv2")
    if not (Path(sys.executable).parent / "lightseg").exists():
        pytest.skip("the package is not installed, so there is no lightseg command")
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for case in synthetic_cases(12, size=(96, 128)):
        image, mask = case.read_pair()
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{case.id}.png")
        Image.fromarray(mask * 255).save(tmp_path / "data" / "masks" / f"{case.id}.png")
    arguments = ["--data", tmp_path / "data", "--out", tmp_path / "out", "--trainer", "nnUNetTrainerNmODEDecoderSmoke"]
    done = subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[-3:]
    assert lines[0] == "test images: 2"
    assert all(0 <= float(line.split(": ")[1]) <= 1 for line in lines[1:])
