"""nnU-Net's own train and predict commands, with our trainers in reach and the dataset checked first."""

import contextlib
import difflib
import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from monai_lightseg.errors import LightsegError
from nnunet_trainers.activation import activate
from nnunet_trainers.doctor import (
    INSTALL_NNUNET,
    PREPROCESSED,
    RESULTS,
    dataset_name,
    require_channels,
    require_splits,
)
from nnunet_trainers.seed_results import SeedTable, is_finished, read_result
from nnunet_trainers.split_check import require_fold

__all__ = ["predict", "require_nnunet", "train", "train_seeds"]

# Options of nnUNetv2_train that take a value; what else does not begin with a dash is an argument.
_TRAIN_OPTIONS = frozenset({"-tr", "-p", "-pretrained_weights", "-num_gpus", "-device"})

# Options after which a training leaves no final checkpoint, or scores of another.
_NOT_WITH_SEEDS = ("--val", "--val_best", "--disable_checkpointing")

# What nnUNetv2_train runs, for a process of its own.
TRAINING_PROCESS = "from nnunetv2.run.run_training import run_training_entry; run_training_entry()"


def train(arguments: list[str]) -> None:
    """Run nnUNetv2_train with `arguments`; on a machine without CUDA, with a device that is there.

    Raises:
        LightsegError: nnU-Net or one of its folder variables is missing, the dataset is not known or not
            preprocessed, its own split would not be used, its labels or images have channels too many or too few, it
            has no such fold, or there is no such trainer.
    """
    activate()
    if "-h" not in arguments:
        require_nnunet(PREPROCESSED, RESULTS)
        _check_training(arguments)
    from nnunetv2.run.run_training import run_training_entry

    _run(run_training_entry, "nnUNetv2_train", [*_device(arguments), *arguments])


def train_seeds(arguments: list[str], seeds: int) -> tuple[SeedTable, Path]:
    """Run nnUNetv2_train with `arguments` for the seeds 0, 1, ..., `seeds` - 1 of its trainer, each in its own process.

    A seed that came to its end before is not trained again.

    Returns:
        The scores of all seeds, and the file beside their results that holds them.

    Raises:
        LightsegError: no seeds are asked for, the trainer is none of this package or has a seed in its name, an option
            goes with no seeds, whatever `train` refuses, or a training failed.
    """
    activate()
    require_nnunet(PREPROCESSED, RESULTS)
    table = _seed_table(arguments, seeds)
    _check_training(arguments)
    device = _device(arguments)
    for seed in range(seeds):
        folder = _fold_folder(table, seed)
        if is_finished(folder):
            print(f"lightseg: seed {seed} is there: {folder}", file=sys.stderr)
            continue
        print(f"lightseg: seed {seed} of {seeds}: {folder}", file=sys.stderr)
        # nnU-Net takes the last -tr. A new process, because nothing else gives back what a training leaves behind.
        own = [*device, *arguments, "-tr", f"{table.trainer}_seed{seed}"]
        status = subprocess.run([sys.executable, "-c", TRAINING_PROCESS, *own], check=False).returncode
        if status != 0:
            raise LightsegError(
                f"seed {seed} failed (exit {status}), see above; the same command with --c goes on from its last "
                "checkpoint"
            )
    table = replace(table, seeds=[read_result(_fold_folder(table, seed), seed) for seed in range(seeds)])
    return table, table.write(Path(os.environ[RESULTS]) / table.dataset)


def predict(arguments: list[str]) -> None:
    """Run nnUNetv2_predict with `arguments`; on a machine without CUDA, with a device that is there.

    Raises:
        LightsegError: nnU-Net or its variable nnUNet_results, the input folder or the trained model is missing.
    """
    activate()
    if "-h" not in arguments:
        require_nnunet(RESULTS)
        _check_prediction(arguments)
    from nnunetv2.inference.predict_from_raw_data import predict_entry_point

    _run(predict_entry_point, "nnUNetv2_predict", [*_device(arguments), *arguments])


def require_nnunet(*variables: str) -> None:
    """Check that nnU-Net is installed and that the environment variables are set.

    Raises:
        LightsegError: it is not, or one of them is not.
    """
    if importlib.util.find_spec("nnunetv2") is None:
        raise LightsegError(f"nnunetv2 is not installed: {INSTALL_NNUNET}")
    for variable in variables:
        if not os.environ.get(variable):
            raise LightsegError(f"{variable} is not set: export {variable}=/path/to/{variable}")


def _check_training(arguments: list[str]) -> None:
    positional = _positional(arguments)
    if positional:
        require_splits(positional[0])
        require_channels(positional[0])
        _require_plans(positional[0], _option(arguments, "-p", "nnUNetPlans"))
    if len(positional) > 2 and positional[2].isdigit():
        require_fold(Path(os.environ[PREPROCESSED]) / dataset_name(positional[0]), int(positional[2]))
    _require_trainer(_option(arguments, "-tr", "nnUNetTrainer"))


def _seed_table(arguments: list[str], seeds: int) -> SeedTable:
    """What is to be trained, without a result yet."""
    from nnunet_trainers.trainers import trainer_classes

    refused = [option for option in _NOT_WITH_SEEDS if option in arguments]
    trainer, plans = _option(arguments, "-tr", "nnUNetTrainer"), _option(arguments, "-p", "nnUNetPlans")
    positional = _positional(arguments)
    if seeds < 1:
        raise LightsegError(f"--seeds is {seeds}; give 1 or more")
    if refused:
        raise LightsegError(f"{refused[0]} does not go with --seeds; train one seed with -tr {trainer}_seed0")
    if trainer not in trainer_classes():
        raise LightsegError(
            f"--seeds needs a trainer of monai-lightseg without a seed in its name, not {trainer}; "
            f"give one such as -tr {_nearest_trainer(trainer)}"
        )
    if len(positional) != 3:
        raise LightsegError(f"give dataset, configuration and fold, such as 18 2d 0, not {' '.join(positional)!r}")
    dataset, configuration, fold = positional
    return SeedTable(dataset_name(dataset), trainer, plans, configuration, fold, [])


def _fold_folder(table: SeedTable, seed: int) -> Path:
    """Where nnU-Net puts the results of one seed."""
    model = f"{table.trainer}_seed{seed}__{table.plans}__{table.configuration}"
    return Path(os.environ[RESULTS]) / table.dataset / model / f"fold_{table.fold}"


def _nearest_trainer(name: str) -> str:
    from nnunet_trainers.trainers import trainer_classes

    return difflib.get_close_matches(name.partition("_seed")[0], trainer_classes(), n=1, cutoff=0.0)[0]


def _check_prediction(arguments: list[str]) -> None:
    images, dataset, configuration = (_option(arguments, name, "") for name in ("-i", "-d", "-c"))
    if images and not Path(images).is_dir():
        raise LightsegError(f"{images} is no folder: give the folder of the images with -i")
    if dataset and configuration:
        trainer, plans = _option(arguments, "-tr", "nnUNetTrainer"), _option(arguments, "-p", "nnUNetPlans")
        model = Path(os.environ[RESULTS]) / dataset_name(dataset) / f"{trainer}__{plans}__{configuration}"
        if not model.is_dir():
            raise LightsegError(f"{model} does not exist: train it first, or check -d, -tr, -p and -c")


def _require_plans(dataset: str, plans: str) -> None:
    path = Path(os.environ[PREPROCESSED]) / dataset_name(dataset) / f"{plans}.json"
    if not path.is_file():
        raise LightsegError(f"{path} does not exist: run `nnUNetv2_plan_and_preprocess -d {dataset} -c 2d` first")


def _require_trainer(name: str) -> None:
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        # nnU-Net prints what it looks at, and will again when it starts.
        with contextlib.redirect_stdout(io.StringIO()):
            recursive_find_trainer_class_by_name(name)
    except RuntimeError as error:
        raise LightsegError(f"there is no trainer {name!r}; did you mean {_nearest_trainer(name)}?") from error


def _option(arguments: list[str], name: str, default: str) -> str:
    """The value of `name VALUE` or `name=VALUE` among the arguments; the last one counts."""
    value = default
    for argument, following in zip(arguments, [*arguments[1:], default], strict=True):
        key, equals, after = argument.partition("=")
        if key == name:
            value = after if equals else following
    return value


def _positional(arguments: list[str]) -> list[str]:
    """The positional arguments (dataset, configuration, fold), wherever the options stand."""
    pairs = zip(["", *arguments], arguments, strict=False)
    return [argument for before, argument in pairs if not argument.startswith("-") and before not in _TRAIN_OPTIONS]


def _device(arguments: list[str]) -> list[str]:
    """Options that replace nnU-Net's default, CUDA, where there is none; empty where the user chose a device."""
    if any(argument.partition("=")[0] == "-device" for argument in arguments):
        return []
    import torch

    if torch.cuda.is_available():
        return []
    device = "mps" if torch.backends.mps.is_available() else "cpu"
    print(f"lightseg: no CUDA device here, running with -device {device}", file=sys.stderr)
    return ["-device", device]


def _run(entry: Callable[[], object], name: str, arguments: list[str]) -> None:
    """Call a console entry point that reads sys.argv."""
    before = sys.argv
    sys.argv = [name, *arguments]
    try:
        entry()
    finally:
        sys.argv = before
