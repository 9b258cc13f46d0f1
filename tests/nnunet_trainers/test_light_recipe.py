import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("nnunetv2")

from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.cosine_schedule import CosineSchedule
from nnunet_trainers.light_recipe import nnUNetTrainerLightsegCosine
from nnunet_trainers.trainers import trainer_classes
from tests.nnunet_trainers import test_trainers
from tests.nnunet_trainers.test_trainers import Make

folders, make = test_trainers.folders, test_trainers.make


def learning_rate(made: nnUNetTrainerLightseg, epoch: int) -> float:
    """The learning rate nnU-Net trains that epoch with."""
    made.current_epoch = epoch
    made.lr_scheduler.step(epoch)
    (rate,) = {group["lr"] for group in made.optimizer.param_groups}
    assert made.lr_scheduler.get_last_lr() == [rate]
    return rate


def paper_loss(foreground: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy plus Dice per image; probabilities and target (B, H, W)."""
    entropy = -(target * foreground.log() + (1 - target) * (1 - foreground).log()).mean()
    dice = [(2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1) for p, t in zip(foreground, target, strict=True)]
    return entropy + 1 - torch.stack(dice).mean()


def with_labels(monkeypatch: pytest.MonkeyPatch, **dataset: Any) -> None:
    monkeypatch.setattr(test_trainers, "DATASET", test_trainers.DATASET | dataset)


@pytest.mark.parametrize("period", [1, 7, 50])
def test_cosine_is_that_of_torch(period: int) -> None:
    values = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    ours, theirs = (torch.optim.SGD([{"params": values[0]}, {"params": values[1], "lr": 0.1}], lr=1) for _ in range(2))
    schedule = CosineSchedule(ours, period, minimum=0.01)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, period, eta_min=0.01)
    for _ in range(3 * period):
        assert schedule.get_last_lr() == pytest.approx(reference.get_last_lr())
        for scheduler, optimizer in ((schedule, ours), (reference, theirs)):
            optimizer.step()
            scheduler.step()


def test_learning_rate(make: Make) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        made = make(trainer_classes()["nnUNetTrainerLightsegCosine_250epochs"])
        made.initialize()
        assert learning_rate(made, 0) == 1e-3
        assert learning_rate(made, 125) == pytest.approx((1e-3 + 1e-5) / 2)
        assert learning_rate(made, 249) == pytest.approx(1e-5, rel=0.01)
        assert learning_rate(made, 250) == pytest.approx(1e-5)
    rates = [learning_rate(made, epoch) for epoch in range(250)]
    assert rates == sorted(rates, reverse=True)
    assert made.optimizer.param_groups[0]["weight_decay"] == 1e-2


def test_learning_rate_after_a_resume(make: Make, tmp_path: Path) -> None:
    stopped = make(nnUNetTrainerLightsegCosine)
    stopped.initialize()
    expected = learning_rate(stopped, 121)
    learning_rate(stopped, 120)
    stopped.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    made = make(nnUNetTrainerLightsegCosine)
    made.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    made.on_train_epoch_start()
    assert made.current_epoch == 121
    assert made.optimizer.param_groups[0]["lr"] == expected
    assert 1e-5 < expected < 1e-3


def test_loss_is_that_of_the_paper(make: Make) -> None:
    made = make(nnUNetTrainerLightsegCosine)
    made.initialize()
    generator = torch.Generator().manual_seed(0)
    for shift in (-4.0, 0.0, 4.0):
        logits = torch.randn(3, 2, 16, 24, generator=generator) * 2
        logits[:, 1] += shift
        target = (torch.rand(3, 1, 16, 24, generator=generator) < 0.3).float()
        target[2] = 0  # an image without foreground, which smoothing of both parts of the fraction decides
        expected = paper_loss((logits[:, 1] - logits[:, 0]).sigmoid(), target[:, 0])
        # nnU-Net subtracts Dice where the paper adds 1 - Dice.
        torch.testing.assert_close(made.loss(logits, target) + 1, expected)


def test_loss_with_an_ignore_label(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(monkeypatch, labels={"background": 0, "lesion": 1, "ignore": 2})
    made = make(nnUNetTrainerLightsegCosine)
    made.initialize()
    logits = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(2, 1, 16, 24)
    target[..., :8] = 1
    target[..., 16:] = 2
    expected = paper_loss((logits[:, 1] - logits[:, 0]).sigmoid()[..., :16], target[:, 0, :, :16])
    torch.testing.assert_close(made.loss(logits, target) + 1, expected)


def test_loss_with_regions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(monkeypatch, labels={"background": 0, "whole": [1, 2], "core": [1]}, regions_class_order=[2, 1])
    made = make(nnUNetTrainerLightsegCosine)
    made.initialize()
    logits = torch.randn(3, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(3, 2, 16, 24, dtype=torch.bool)
    target[:, 0, :12] = target[:2, 1, :4] = True
    expected = torch.stack([paper_loss(logits[:, n].sigmoid(), target[:, n].float()) for n in range(2)]).mean()
    torch.testing.assert_close(made.loss(logits, target) + 1, expected)


def test_loss_that_nnunet_compiles(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(nnUNetTrainerLightsegCosine)
    made.initialize()
    monkeypatch.setattr(made, "_do_i_compile", lambda: True)
    compiled = made._build_loss().dc._orig_mod
    assert (compiled.batch_dice, compiled.smooth, compiled.do_bg) == (False, 1.0, False)
