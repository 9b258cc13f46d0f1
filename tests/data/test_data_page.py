"""The examples of docs/data.md run."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from monai_lightseg.cli.app import app

from .official_folders import ISIC2018

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()


def test_reading(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images, masks = (Path("isic2018", name) for name in ISIC2018["Training"])
    for folder in (images, masks):
        folder.mkdir(parents=True)
    Image.new("RGB", (8, 6)).save(images / "ISIC_1.jpg")
    Image.new("L", (8, 6), 255).save(masks / "ISIC_1_segmentation.png")
    example = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
    names: dict = {}
    exec(example, names)
    assert capsys.readouterr().out == "ISIC 2018 Task 1 1 {'Training': 1}\n"
    assert (names["image"].shape, names["mask"].shape) == ((6, 8, 3), (6, 8))
    assert np.unique(names["mask"]).tolist() == [1]


def test_writing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)
    for kind, mode in (("images", "RGB"), ("masks", "L")):
        (Path("moles") / kind).mkdir(parents=True)
        for number in range(4):
            Image.new(mode, (8, 6)).save(Path("moles") / kind / f"{number}.png")
    section = PAGE[PAGE.index("## Writing") :]
    commands = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[0].splitlines()
    for command in commands:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    written = [Path("nnUNet_raw/Dataset030_moles"), Path("moles_192x256")]
    assert sorted(path.name for path in written[0].iterdir()) == [
        *("dataset.json", "imagesTr", "imagesTs", "labelsTr", "labelsTs"),
        *("lightseg_conversion.json", "splits_final.json"),
    ]
    assert sorted(path.name for path in written[1].iterdir()) == [
        *("datalist.json", "images", "labels", "lightseg_conversion.json"),
    ]
    assert json.loads((written[1] / "lightseg_conversion.json").read_text())["size"] == [192, 256]
    capsys.readouterr()
    exec(re.findall(r"```python\n(.*?)```", section, re.DOTALL)[0], {})
    assert capsys.readouterr().out == "(3, 256, 192)\n"
