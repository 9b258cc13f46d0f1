"""The examples of docs/glas.md run, one after the other."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from monai_lightseg.data import core_border_labels, read_labels

from .fake_glas import ALL, VALIDATION, labels_of, write_glas

PAGE = (Path(__file__).parents[2] / "docs" / "glas.md").read_text()


def test_examples(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_glas(Path("GLAS"), ALL)
    instances = np.zeros((60, 90), np.uint8)
    instances[5:45, 5:35], instances[5:45, 35:80] = 1, 2
    Path("PREDICTIONS").mkdir()
    Image.fromarray(core_border_labels(instances)).save("PREDICTIONS/testA_1.png")

    # The network of the page takes 20 seconds; with a sixteenth of its filters it takes one.
    network = 'create_network("unode", '
    assert network in PAGE
    page = PAGE.replace(network, f"{network}features=(4, 8, 16, 32, 64), ")
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, namespace)

    np.testing.assert_array_equal(namespace["labels"], labels_of("train_1"))
    assert namespace["split"].val == tuple(f"train_{number}" for number in VALIDATION)
    np.testing.assert_array_equal(read_labels(Path("GLANDS/testA_1.png")), instances)
    assert namespace["glands"].shape == namespace["image"].shape[:2]
