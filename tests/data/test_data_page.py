"""The example of docs/data.md runs."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

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
