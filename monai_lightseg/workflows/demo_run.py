"""`lightseg demo`: images, nnU-Net raw, plans, a short training, prediction, scores, a report."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai_lightseg import __version__
from monai_lightseg.data import (
    Case,
    Split,
    install_splits,
    random_split,
    read_data_set,
    synthetic_cases,
    write_nnunet_raw,
)
from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.demo_folder import DemoFolder, fingerprint, remove_folder
from monai_lightseg.workflows.demo_report import DemoFacts, demo_report
from monai_lightseg.workflows.evaluation import evaluate_folders
from monai_lightseg.workflows.stage import run_stage
from nnunet_trainers.commands import require_nnunet

__all__ = ["run_demo"]

DATASET_ID = 999
DATASET = "Dataset999_LightsegDemo"
PLANS = "nnUNetLightPlans"
SIZE = (192, 256)
SEED = 42


def run_demo(
    data: Path | None,
    out: Path,
    *,
    trainer: str = "nnUNetTrainerNmODEDecoderDemo",
    synthetic: int = 72,
    limits: tuple[int, int, int] = (96, 16, 32),
) -> Path:
    """Run the demo, or the rest of it where an earlier run with the same settings was cut off.

    nnU-Net's folders lie inside `out` and are set for the child processes only.

    Args:
        data: folder with masks as `read_data_set` takes it; None draws `synthetic` cases.
        out: folder for `report.html` and the demo's own folder `lightseg_demo`; other files in it stay.
        trainer: trainer class.
        synthetic: number of drawn cases.
        limits: at most so many training, validation and test cases of `data`, chosen by a seeded permutation.

    Returns:
        Path of the report.

    Raises:
        LightsegError: bad data (one line per file, before any training), a folder that cannot be written, another demo
            at work in it, nnU-Net not installed, or a failed stage with the path of its log.
    """
    require_nnunet()
    cases, digest = _cases(data, synthetic)
    split = random_split([case.id for case in cases], val=0.1, test=0.25, seed=SEED).limited(
        train=limits[0], val=limits[1], test=limits[2], seed=SEED
    )
    settings = {
        "version": __version__,
        "data": digest,
        "trainer": trainer,
        "cases": [list(split.train), list(split.val), list(split.test)],
    }
    folder = DemoFolder(out)
    try:
        with folder.locked() as locks:
            _run_stages(_Demo(folder, cases, split, trainer, locks), settings)
            _report(folder, data, split, trainer)
    except OSError as error:
        raise LightsegError(
            f"{error.filename or out} cannot be read or written ({error.strerror}): check it and the space on disk"
        ) from error
    return folder.report


def _cases(data: Path | None, synthetic: int) -> tuple[Sequence[Case], str | None]:
    """The cases, and a digest that changes with their files."""
    if data is None:
        return synthetic_cases(synthetic, size=SIZE, seed=SEED), None
    data_set = read_data_set(data)
    if data_set.objects:
        raise LightsegError(
            f"{data} holds {data_set.title}, which marks objects, and the demo needs one mask per image: write it for "
            "nnU-Net with `lightseg data convert`"
        )
    cases = data_set.cases
    if len(cases) < 3:
        raise LightsegError(f"{data} holds {len(cases)} images with masks: the demo needs at least 3")
    return cases, fingerprint(path for case in cases for path in case.paths)


def _run_stages(demo: "_Demo", settings: dict[str, Any]) -> None:
    done = demo.folder.begin(settings)
    if done:
        print(f"continuing after: {', '.join(done)} ({demo.folder.work})", file=sys.stderr)
    for stage in (demo.convert, demo.plan, demo.train, demo.predict):
        if stage.__name__ not in done:
            start = time.monotonic()
            stage()
            demo.folder.finish(stage.__name__, time.monotonic() - start)


def _report(folder: DemoFolder, data: Path | None, split: Split, trainer: str) -> None:
    labels = folder.raw / DATASET / "labelsTs"
    facts = DemoFacts(
        source="synthetic dermoscopy-like images" if data is None else str(data),
        size=SIZE,
        split=split,
        trainer=trainer,
        plans_file=folder.preprocessed / DATASET / f"{PLANS}.json",
        history=_history(_fold(folder, trainer)),
        scores=evaluate_folders(folder.predictions, labels),
        seconds=folder.seconds(),
        images=folder.raw / DATASET / "imagesTs",
        labels=labels,
        predictions=folder.predictions,
    )
    folder.write_report(demo_report(facts))


def _fold(folder: DemoFolder, trainer: str) -> Path:
    return folder.results / DATASET / f"{trainer}__{PLANS}__2d" / "fold_0"


def _history(fold: Path) -> dict[str, list[float]]:
    """What the trainer wrote down after each epoch; empty before the first."""
    from nnunet_trainers.base import HISTORY_FILE

    path = fold / HISTORY_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


class _Demo:
    """The stages; each starts from nothing but the stages before it, training also from its own checkpoints."""

    def __init__(
        self, folder: DemoFolder, cases: Sequence[Case], split: Split, trainer: str, locks: tuple[int, ...]
    ) -> None:
        self.folder = folder
        self.cases = cases
        self.split = split
        self.trainer = trainer
        self.locks = locks
        self.fold = _fold(folder, trainer)

    def convert(self) -> None:
        """Write the images for nnU-Net; every file is read here, so bad ones show before anything long starts."""
        for path in (self.folder.raw, self.folder.preprocessed):
            remove_folder(path)
        conversion = write_nnunet_raw(
            self.cases,
            self.split,
            dataset_id=DATASET_ID,
            name=DATASET.split("_")[1],
            raw=self.folder.raw,
            preprocessed=self.folder.preprocessed,
            size=SIZE,
        )
        if conversion.mismatched:
            print(f"{len(conversion.mismatched)} pairs of different size, each resized on its own", file=sys.stderr)

    def plan(self) -> None:
        """Fingerprint, plan and preprocess with nnU-Net, then derive the light plans."""
        preprocessed = self.folder.preprocessed / DATASET
        remove_folder(preprocessed)
        install_splits(self.folder.raw / DATASET, preprocessed)
        images = len(self.split.train) + len(self.split.val)
        self._child(
            "plan",
            ["-m", "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints"],
            ["-d", str(DATASET_ID), "-c", "2d", "-np", "1", "-npfp", "1"],
            total=images,
            unit="image",
            done=lambda: len(list((preprocessed / "nnUNetPlans_2d").glob("*.pkl"))),
        )
        self._child(
            "light plans",
            ["-m", "monai_lightseg", "nnunet", "plan", str(DATASET_ID)],
            ["--name", PLANS],
            total=1,
            unit="file",
            done=lambda: 0,
        )

    def train(self) -> None:
        """Train, from the last checkpoint where there is one."""
        from nnunet_trainers.trainers import trainer_classes

        for partial in (*self.fold.glob("*.partial"), *self.fold.glob(".*")):  # what a killed training was writing
            partial.unlink()
        checkpoints = [self.fold / f"checkpoint_{name}.pth" for name in ("final", "latest", "best")]
        self._child(
            "train",
            ["-m", "monai_lightseg", "nnunet", "train", str(DATASET_ID), "2d", "0"],
            ["-p", PLANS, "-tr", self.trainer, *(["--c"] if any(path.is_file() for path in checkpoints) else [])],
            total=trainer_classes()[self.trainer].epochs,
            unit="epoch",
            done=self._epochs_done,
        )

    def predict(self) -> None:
        """Predict the test images."""
        remove_folder(self.folder.predictions)
        self._child(
            "predict",
            ["-m", "monai_lightseg", "nnunet", "predict"],
            [
                *("-i", str(self.folder.raw / DATASET / "imagesTs"), "-o", str(self.folder.predictions)),
                *("-d", str(DATASET_ID), "-c", "2d", "-f", "0", "-p", PLANS, "-tr", self.trainer),
                *("-npp", "1", "-nps", "1"),
            ],
            total=len(self.split.test),
            unit="image",
            done=lambda: len(list(self.folder.predictions.glob("*.png"))),
        )

    def _epochs_done(self) -> int:
        return len(_history(self.fold).get("train_losses", []))

    def _child(
        self, title: str, program: list[str], arguments: list[str], *, total: int, unit: str, done: Callable[[], int]
    ) -> None:
        self.folder.forget_child()
        run_stage(
            title,
            [sys.executable, *program, *arguments],
            environment=self._environment(training=title == "train"),
            log=self.folder.logs / f"{title.replace(' ', '_')}.log",
            total=total,
            unit=unit,
            done=done,
            started=self.folder.record_child,
            inherited=self.locks,
        )

    def _environment(self, *, training: bool) -> dict[str, str]:
        # Waiting threads that spin take the core from whatever else runs on a small machine.
        return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ} | {
            "nnUNet_raw": str(self.folder.raw.resolve()),
            "nnUNet_preprocessed": str(self.folder.preprocessed.resolve()),
            "nnUNet_results": str(self.folder.results.resolve()),
            "nnUNet_def_n_proc": "1",
            # Augmentation in the training process spares starting workers; planning refuses 0.
            "nnUNet_n_proc_DA": "0" if training else "1",
            "nnUNet_compile": "f",
        }
