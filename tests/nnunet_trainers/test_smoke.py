"""Every trainer through nnU-Net's own code: train, validate, load what was saved, predict."""

import json
import multiprocessing
import multiprocessing.dummy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("nnunetv2")

import nnunetv2.utilities.utils
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments, preprocess
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import run_training
from nnunetv2.training.logging.nnunet_logger import MetaLogger

from monai_lightseg.data import Split, synthetic_cases, write_nnunet_raw
from nnunet_trainers.activation import VARIABLE, shim_directory
from nnunet_trainers.base import HISTORY_FILE
from nnunet_trainers.plans import write_light_plans
from nnunet_trainers.trainers import trainer_classes

DATASET = "Dataset997_Smoke"
VALIDATED = "synthetic_0004"
# The others differ from these in numbers only.
TRAINERS = [name for name in trainer_classes() if not name.endswith(("epochs", "Demo", "Smoke"))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """nnU-Net's three folders with one dataset, preprocessed, and light plans for it; its worker pools are threads."""
    root = tmp_path_factory.mktemp("nnunet")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            (root / name).mkdir()
            patch.setenv(name, str(root / name))
        # Each new process would import torch again, which takes longer than a training here.
        patch.setattr(multiprocessing, "get_context", lambda method=None: multiprocessing.dummy)
        patch.setattr(nnunetv2.utilities.utils, "Pool", multiprocessing.dummy.Pool)
        # Half of the time otherwise goes into a picture of 30 x 54 inches.
        patch.setattr(MetaLogger, "plot_progress_png", lambda logger, folder: None)
        patch.setenv("nnUNet_n_proc_DA", "1")
        patch.setenv(VARIABLE, str(shim_directory()))
        cases = synthetic_cases(5, size=(64, 64))
        split = Split(train=tuple(case.id for case in cases[:4]), val=(VALIDATED,), test=())
        write_nnunet_raw(cases, split, dataset_id=997, name="Smoke", raw=root / "nnUNet_raw", progress=False)
        fingerprint = DatasetFingerprintExtractor(997, num_processes=1)
        fingerprint.num_foreground_voxels_for_intensitystats = 1e4  # not 10e7, drawn with replacement
        fingerprint.run()
        plan_experiments([997])
        preprocess([997], configurations=("2d",), num_processes=(1,))
        write_light_plans("997", name="light", patch=(64, 64), batch=2)
        patch.setenv("nnUNet_n_proc_DA", "0")
        yield root


@pytest.mark.parametrize("name", TRAINERS)
def test_train_validate_predict(name: str, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = trainer_classes()[name]
    for attribute, number in {"epochs": 1, "iterations_per_epoch": 2, "val_iterations_per_epoch": 1}.items():
        monkeypatch.setattr(trainer, attribute, number)
    run_training("997", "2d", 0, name, "light", device=torch.device("cpu"))

    model = folders / "nnUNet_results" / DATASET / f"{name}__light__2d"
    history = json.loads((model / "fold_0" / HISTORY_FILE).read_text())
    assert all(len(values) == 1 and np.isfinite(values).all() for values in history.values())

    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), use_folds=(0,))
    image = folders / "nnUNet_raw" / DATASET / "imagesTr" / f"{VALIDATED}_0000.png"
    predictor.predict_from_files_sequential([[str(image)]], [str(tmp_path / VALIDATED)])
    # The trained network, in memory, against what its checkpoint brings back.
    with (
        Image.open(model / "fold_0" / "validation" / f"{VALIDATED}.png") as expected,
        Image.open(tmp_path / f"{VALIDATED}.png") as predicted,
    ):
        np.testing.assert_array_equal(np.asarray(predicted), np.asarray(expected))
