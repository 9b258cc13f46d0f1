"""The weights with the lowest loss are kept, after a resumption too."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from monai_lightseg.workflows.best_weights import BestWeights


@pytest.fixture
def network():
    return nn.Linear(1, 1, bias=False)


def kept(path):
    return torch.load(path, weights_only=True)["weight"].item()


def test_lowest_loss_is_kept(tmp_path, network):
    path = tmp_path / "new" / "model.pt"
    best = BestWeights(network, str(path), "loss")
    for loss, number in ((float("nan"), 0), (0.3, 1), (0.4, 2), (0.5, 3), (0.2, 4)):
        nn.init.constant_(network.weight, number)
        best(SimpleNamespace(state=SimpleNamespace(metrics={"loss": loss})))
    assert kept(path) == 4
    assert best.losses == [math.inf, 0.3, 0.4, 0.5, 0.2]


def test_better_weights_from_before_a_resumption_stay(tmp_path, network):
    path = tmp_path / "model.pt"
    first = BestWeights(network, str(path), "loss")
    first(SimpleNamespace(state=SimpleNamespace(metrics={"loss": 0.3})))
    before = kept(path)
    second = BestWeights(network, str(path), "loss")
    second.load_state_dict(first.state_dict())
    nn.init.constant_(network.weight, 7)
    second(SimpleNamespace(state=SimpleNamespace(metrics={"loss": 0.4})))
    assert kept(path) == before
    second(SimpleNamespace(state=SimpleNamespace(metrics={"loss": 0.2})))
    assert kept(path) == 7
