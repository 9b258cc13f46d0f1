"""Trainings that do not begin with new weights: one that was cut, one from the shipped weights."""

import monai.bundle
import pytest
import torch

from monai_lightseg.workflows.bundles import bundle_folder

FOLDER = bundle_folder("isic_lesion_ultralight_vm_unet")
CONFIG = str(FOLDER / "configs" / "train.json")


def test_resumed_training_is_bit_identical(datalist, tmp_path):
    """With augmentation; the training is taken up after the second of four epochs."""
    settings = {"dataset_dir": str(datalist), "image_size": [32, 32], "batch_size": 2, "device": "cpu", "epochs": 4}
    settings["logging_file"] = False
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    monai.bundle.run(config_file=CONFIG, ckpt_dir=str(whole), **{"train#handlers#6#n_saved": 4}, **settings)
    resume = str(whole / "checkpoint_epoch=2.pt")
    monai.bundle.run(config_file=CONFIG, ckpt_dir=str(cut), resume=resume, **settings)
    expected, resumed = (torch.load(of / "checkpoint_epoch=4.pt", weights_only=True) for of in (whole, cut))
    assert expected["best"] == resumed["best"]
    assert len(set(expected["best"]["losses"])) == 4
    assert expected["lr_scheduler"] == resumed["lr_scheduler"]
    for name, value in expected["network"].items():
        assert torch.equal(value, resumed["network"][name])
    with pytest.raises(RuntimeError) as raised:
        monai.bundle.run(config_file=CONFIG, ckpt_dir=str(cut), resume=resume, **settings | {"epochs": 5})
    assert "resume with --epochs 4" in str(raised.value) + str(raised.value.__cause__)


def test_training_starts_from_the_shipped_weights(datalist, tmp_path):
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
