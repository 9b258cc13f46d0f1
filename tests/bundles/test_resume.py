"""Trainings that do not begin with new weights: one that was cut, one from the shipped weights."""

import monai.bundle
import torch

from monai_lightseg.workflows.bundles import bundle_folder
from tests.bundles.test_bundles import datalist  # noqa: F401

FOLDER = bundle_folder("isic_lesion_ultralight_vm_unet")
CONFIG = str(FOLDER / "configs" / "train.json")


def test_resumed_training_is_bit_identical(datalist, tmp_path):  # noqa: F811
    """With augmentation, whose random numbers depend on the epoch alone."""
    settings = {"dataset_dir": str(datalist), "image_size": [32, 32], "batch_size": 2, "device": "cpu"}
    settings |= {"cosine_epochs": 3, "logging_file": False}
    monai.bundle.run(config_file=CONFIG, epochs=3, ckpt_dir=str(tmp_path / "whole"), **settings)
    cut = tmp_path / "cut"
    monai.bundle.run(config_file=CONFIG, epochs=1, ckpt_dir=str(cut), **settings)
    resume = str(cut / "checkpoint_epoch=1.pt")
    monai.bundle.run(config_file=CONFIG, epochs=3, ckpt_dir=str(cut), resume=resume, **settings)
    whole, resumed = (
        torch.load(tmp_path / name / "checkpoint_epoch=3.pt", weights_only=True) for name in ("whole", "cut")
    )
    assert whole["best"] == resumed["best"]
    assert len(set(whole["best"]["losses"])) == 3
    for name, value in whole["network"].items():
        assert torch.equal(value, resumed["network"][name])


def test_training_starts_from_the_shipped_weights(datalist, tmp_path):  # noqa: F811
    """With a learning rate of 0 it ends with them, too; this network has no running statistics."""
    shipped = str(FOLDER / "models" / "model.pt")
    settings = {"dataset_dir": str(datalist), "image_size": [32, 32], "logging_file": False, "device": "cpu"}
    monai.bundle.run(
        config_file=CONFIG,
        epochs=1,
        learning_rate=0.0,
        start=shipped,
        ckpt_dir=str(tmp_path),
        **settings,
    )
    trained, start = (torch.load(path, weights_only=True) for path in (tmp_path / "model.pt", shipped))
    assert all(torch.equal(value, start[name]) for name, value in trained.items())
