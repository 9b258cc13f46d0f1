"""Checkpoint files as the authors' code writes them, with weights by the fill rule of the parity fixtures."""

import functools
import json
from pathlib import Path

import numpy as np
import torch

from tests.parity.fill import filled_tensor

FIXTURES = sorted((Path(__file__).parents[1] / "parity" / "fixtures").glob("*.json"))


def fixture_of(stem):
    return json.loads(next(path for path in FIXTURES if path.stem == stem).read_text())


def authors_weights(fixture):
    return {key: _filled(key, tuple(shape), dtype) for key, shape, dtype in fixture["keys"]}


def hollow_weights(fixture):
    """Keys and shapes without the bulk: one stored value each."""
    return {key: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for key, shape, dtype in fixture["keys"]}


def parallel(weights):
    """As DataParallel names them."""
    return {f"module.{key}": tensor for key, tensor in weights.items()}


def training_checkpoint(weights):
    """The whole dictionary that the training scripts keep as latest.pth."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    return {
        "epoch": 300,
        "min_loss": np.float64(0.25),
        "min_epoch": np.int64(271),
        "loss": np.float32(0.5),
        "model_state_dict": weights,
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler_state_dict": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50).state_dict(),
    }


def lightning_checkpoint(weights):
    """As PyTorch Lightning saves a module that holds the network as `model`."""
    return {
        "epoch": 199,
        "global_step": 51800,
        "pytorch-lightning_version": "1.9.0",
        "state_dict": {f"model.{key}": tensor for key, tensor in weights.items()},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_dice'}": {"best_model_score": torch.tensor(0.9), "best_k": {}}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]}],
        "hparams_name": None,
    }


def assert_same(given, expected):
    assert list(given) == list(expected)
    different = [key for key in expected if not torch.equal(given[key], expected[key])]
    assert different == []


# The same encoder is in many fixtures.
@functools.cache
def _filled(key, shape, dtype):
    return filled_tensor(key, list(shape), dtype)
