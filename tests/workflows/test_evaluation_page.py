"""The example of docs/evaluate.md runs."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import load_protocol
from tests.pages import DOCS

pytest.importorskip("matplotlib")


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for folder in ("PREDICTIONS", "OTHER", "labelsTs"):
        Path(folder).mkdir()
    for case_id in load_protocol("ph2-external").ids("test"):
        truth = np.zeros((16, 16), np.uint8)
        truth[4:12, 4:12] = 1
        Image.fromarray(truth).save(f"labelsTs/{case_id}.png")
        for folder, wrong in (("PREDICTIONS", 0.05), ("OTHER", 0.1)):
            Image.fromarray(truth ^ (rng.random(truth.shape) < wrong)).save(f"{folder}/{case_id}.png")
    (example,) = re.findall(r"```python\n(.*?)```", (DOCS / "evaluate.md").read_text(), re.DOTALL)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "200 images, test of ph2-external"
    assert lines[3] == "permutation test: p 0.0001"
    assert Path("report/report.html").is_file()
