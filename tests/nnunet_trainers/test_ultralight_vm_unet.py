import math

import numpy as np
import pytest

pytest.importorskip("nnunetv2")

from nnunet_trainers.trainers import trainer_classes
from nnunet_trainers.ultralight_vm_unet import nnUNetTrainerUltraLightVMUNet_paper
from tests.nnunet_trainers import test_trainers
from tests.nnunet_trainers.test_light_recipe import learning_rate, with_labels
from tests.nnunet_trainers.test_trainers import Make

folders, make = test_trainers.folders, test_trainers.make


class TinyPaper(nnUNetTrainerUltraLightVMUNet_paper):
    epochs = 1
    iterations_per_epoch = 2
    val_iterations_per_epoch = 1


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


def test_learning_rate_of_the_paper(make: Make) -> None:
    made = make(nnUNetTrainerUltraLightVMUNet_paper)
    made.initialize()
    assert made.num_epochs == 250
    for epoch, rate in {0: 1e-3, 25: 5.05e-4, 50: 1e-5, 75: 5.05e-4, 100: 1e-3, 150: 1e-5, 200: 1e-3}.items():
        assert learning_rate(made, epoch) == pytest.approx(rate)
    assert learning_rate(made, 249) == pytest.approx(1e-5 + 9.9e-4 * (1 + math.cos(math.pi * 49 / 50)) / 2)


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


def test_a_short_training_with_regions(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with_labels(monkeypatch, labels={"background": 0, "whole": [1, 2], "core": [1]}, regions_class_order=[2, 1])
    made = make(TinyPaper)
    made.run_training()
    assert np.isfinite(made.logger.get_value("train_losses", step=None)).all()
