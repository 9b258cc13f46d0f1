import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("nnunetv2")

from monai_lightseg.networks import network_card
from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.cosine_schedule import CosineSchedule
from nnunet_trainers.trainers import trainer_classes
from nnunet_trainers.ultralight_vm_unet import nnUNetTrainerUltraLightVMUNet, nnUNetTrainerUltraLightVMUNet_paper
from tests.nnunet_trainers import test_trainers
from tests.nnunet_trainers.test_trainers import Make, build

folders, make = test_trainers.folders, test_trainers.make

BOTH = [nnUNetTrainerUltraLightVMUNet, nnUNetTrainerUltraLightVMUNet_paper]
both = pytest.mark.parametrize("trainer", BOTH, ids=lambda trainer: trainer.__name__)


class Tiny(nnUNetTrainerUltraLightVMUNet):
    epochs = 1
    iterations_per_epoch = 2
    val_iterations_per_epoch = 1


class TinyPaper(nnUNetTrainerUltraLightVMUNet_paper):
    epochs = 1
    iterations_per_epoch = 2
    val_iterations_per_epoch = 1


def parameters(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


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


def test_names() -> None:
    epochs = {name: trainer.epochs for name, trainer in trainer_classes().items() if "UltraLightVMUNet" in name}
    assert epochs == {
        "nnUNetTrainerUltraLightVMUNet": 1000,
        "nnUNetTrainerUltraLightVMUNet_5epochs": 5,
        "nnUNetTrainerUltraLightVMUNet_50epochs": 50,
        "nnUNetTrainerUltraLightVMUNet_250epochs": 250,
        "nnUNetTrainerUltraLightVMUNet_paper": 250,
        "nnUNetTrainerUltraLightVMUNet_paper_5epochs": 5,
        "nnUNetTrainerUltraLightVMUNet_paper_50epochs": 50,
        "nnUNetTrainerUltraLightVMUNet_paper_250epochs": 250,
    }


@both
def test_network(trainer: type) -> None:
    assert parameters(build(trainer, outputs=1)) == network_card("ultralight_vm_unet").parameters
    assert parameters(build(trainer, outputs=5)) == parameters(build(trainer, "2d residual", outputs=5))
    for outputs in (1, 2, 5):
        logits = build(trainer, outputs=outputs).eval()(torch.randn(2, 3, 32, 48))
        assert logits.shape == (2, outputs, 32, 48)


@both
@pytest.mark.parametrize("name", ["3d_fullres", "3d residual", "3d_cascade_fullres"])
def test_3d_is_refused(trainer: type, name: str) -> None:
    with pytest.raises(NotImplementedError, match=r"ultralight_vm_unet is 2D and .*: train the 2d configuration"):
        build(trainer, name)


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
        made = make(trainer_classes()["nnUNetTrainerUltraLightVMUNet_250epochs"])
        made.initialize()
        assert learning_rate(made, 0) == 1e-3
        assert learning_rate(made, 125) == pytest.approx((1e-3 + 1e-5) / 2)
        assert learning_rate(made, 249) == pytest.approx(1e-5, rel=0.01)
        assert learning_rate(made, 250) == pytest.approx(1e-5)
    rates = [learning_rate(made, epoch) for epoch in range(250)]
    assert rates == sorted(rates, reverse=True)
    assert made.optimizer.param_groups[0]["weight_decay"] == 1e-2


def test_learning_rate_of_the_paper(make: Make) -> None:
    made = make(nnUNetTrainerUltraLightVMUNet_paper)
    made.initialize()
    assert made.num_epochs == 250
    for epoch, rate in {0: 1e-3, 25: 5.05e-4, 50: 1e-5, 75: 5.05e-4, 100: 1e-3, 150: 1e-5, 200: 1e-3}.items():
        assert learning_rate(made, epoch) == pytest.approx(rate)
    assert learning_rate(made, 249) == pytest.approx(1e-5 + 9.9e-4 * (1 + math.cos(math.pi * 49 / 50)) / 2)


@both
def test_learning_rate_after_a_resume(trainer: type[nnUNetTrainerLightseg], make: Make, tmp_path: Path) -> None:
    stopped = make(trainer)
    stopped.initialize()
    expected = learning_rate(stopped, 121)
    learning_rate(stopped, 120)
    stopped.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    made = make(trainer)
    made.load_checkpoint(str(tmp_path / "checkpoint.pth"))
    made.on_train_epoch_start()
    assert made.current_epoch == 121
    assert made.optimizer.param_groups[0]["lr"] == expected
    assert 1e-5 < expected < 1e-3


@both
def test_loss_is_that_of_the_paper(trainer: type[nnUNetTrainerLightseg], make: Make) -> None:
    made = make(trainer)
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
    made = make(nnUNetTrainerUltraLightVMUNet)
    made.initialize()
    logits = torch.randn(2, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(2, 1, 16, 24)
    target[..., :8] = 1
    target[..., 16:] = 2
    expected = paper_loss((logits[:, 1] - logits[:, 0]).sigmoid()[..., :16], target[:, 0, :, :16])
    torch.testing.assert_close(made.loss(logits, target) + 1, expected)


def test_loss_with_regions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(monkeypatch, labels={"background": 0, "whole": [1, 2], "core": [1]}, regions_class_order=[2, 1])
    made = make(nnUNetTrainerUltraLightVMUNet)
    made.initialize()
    logits = torch.randn(3, 2, 16, 24, generator=torch.Generator().manual_seed(0))
    target = torch.zeros(3, 2, 16, 24, dtype=torch.bool)
    target[:, 0, :12] = target[:2, 1, :4] = True
    expected = torch.stack([paper_loss(logits[:, n].sigmoid(), target[:, n].float()) for n in range(2)]).mean()
    torch.testing.assert_close(made.loss(logits, target) + 1, expected)


def test_loss_that_nnunet_compiles(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(nnUNetTrainerUltraLightVMUNet)
    made.initialize()
    monkeypatch.setattr(made, "_do_i_compile", lambda: True)
    compiled = made._build_loss().dc._orig_mod
    assert (compiled.batch_dice, compiled.smooth, compiled.do_bg) == (False, 1.0, False)


def test_augmentation_of_the_paper(make: Make) -> None:
    made = make(nnUNetTrainerUltraLightVMUNet_paper)
    made.initialize()
    _, dummy_2d, initial_patch, mirror_axes = made.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    # No margin that would fill the corners, and the axes that the flips were trained on.
    assert (dummy_2d, initial_patch, mirror_axes) == (False, [32, 48], (0, 1))
    assert made.inference_allowed_mirroring_axes == (0, 1)
    loader = made.get_dataloaders()[0]
    used = [type(transform).__name__ for transform in loader.data_loader.transforms.transforms]
    assert used == ["Rot90FlipTransform", "SpatialTransform", "MaskImageTransform", "ComposeTransforms"]
    batch = next(loader)
    assert (batch["data"].shape, batch["target"].shape) == ((2, 3, 32, 48), (2, 1, 32, 48))


@pytest.mark.parametrize("trainer", [Tiny, TinyPaper])
def test_a_short_training(trainer: type[nnUNetTrainerLightseg], make: Make) -> None:
    made = make(trainer)
    made.run_training()
    assert np.isfinite(made.logger.get_value("train_losses", step=None)).all()
    assert (Path(made.output_folder) / "checkpoint_final.pth").is_file()


def test_a_short_training_with_regions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(monkeypatch, labels={"background": 0, "whole": [1, 2], "core": [1]}, regions_class_order=[2, 1])
    made = make(TinyPaper)
    made.run_training()
    assert np.isfinite(made.logger.get_value("train_losses", step=None)).all()
