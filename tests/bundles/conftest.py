"""Drawn data for the bundles, and the process as it was before MONAI ran one."""

import logging
import sys

import pytest
import torch

from monai_lightseg.data import Split, synthetic_cases, write_datalist
from tests.data.fake_glas import VALIDATION, write_glas


@pytest.fixture(scope="session")
def datalist(tmp_path_factory):
    """Eight drawn lesions of 48x64 pixels: four train, two validate, two test."""
    folder = tmp_path_factory.mktemp("data") / "drawn"
    cases = synthetic_cases(8, size=(48, 64), seed=1)
    ids = [case.id for case in cases]
    split = Split(train=tuple(ids[:4]), val=tuple(ids[4:6]), test=tuple(ids[6:]))
    write_datalist(cases, split, name="drawn", folder=folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def glas(tmp_path_factory):
    """Three images that train, those that validate, and one of each test."""
    names = [*(f"train_{number}" for number in (1, 2, 3, *VALIDATION)), "testA_1", "testB_2"]
    return write_glas(tmp_path_factory.mktemp("glas"), names)


@pytest.fixture(autouse=True)
def process_put_back(monkeypatch):
    """MONAI applies a bundle's logging.conf and its seed to the whole process, and adds to the module path."""
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("deterministic", "benchmark"):
        monkeypatch.setattr(torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
