"""nnU-Net's own train and predict commands in this process, with our trainers in reach and the split checked first."""

import contextlib
import difflib
import importlib.util
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

from monai_lightseg.data.nnunet_splits import SPLITS_FILE, number_of_folds
from monai_lightseg.errors import LightsegError
from nnunet_trainers.activation import activate
from nnunet_trainers.doctor import INSTALL_NNUNET, PREPROCESSED, RESULTS, dataset_name, require_splits

__all__ = ["predict", "require_nnunet", "train"]

# Options of nnUNetv2_train that take a value; what else does not begin with a dash is an argument.
_TRAIN_OPTIONS = frozenset({"-tr", "-p", "-pretrained_weights", "-num_gpus", "-device"})


def train(arguments: list[str]) -> None:
    """Run nnUNetv2_train with `arguments`; on a machine without CUDA, with a device that is there.

    Raises:
        LightsegError: nnU-Net or one of its folder variables is missing, the dataset is not known or not
            preprocessed, its own split would not be used, it has no such fold, or there is no such trainer.
    """
    activate()
    if "-h" not in arguments:
        require_nnunet(PREPROCESSED, RESULTS)
        _check_training(arguments)
    from nnunetv2.run.run_training import run_training_entry

    _run(run_training_entry, "nnUNetv2_train", [*_device(arguments), *arguments])


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
        _require_plans(positional[0], _option(arguments, "-p", "nnUNetPlans"))
    if len(positional) > 2:
        _require_fold(positional[0], positional[2])
    _require_trainer(_option(arguments, "-tr", "nnUNetTrainer"))


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


def _require_fold(dataset: str, fold: str) -> None:
    """Refuse a fold that the split file does not have; nnU-Net would divide the cases at random instead."""
    folder = Path(os.environ[PREPROCESSED]) / dataset_name(dataset)
    folds = number_of_folds(folder)
    if fold.isdigit() and folds is not None and int(fold) >= folds:
        raise LightsegError(
            f"{folder / SPLITS_FILE} has folds 0 to {folds - 1}, not {fold}: nnU-Net would make a random split instead"
        )


def _require_trainer(name: str) -> None:
    from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

    try:
        # nnU-Net prints what it looks at, and will again when it starts.
        with contextlib.redirect_stdout(io.StringIO()):
            recursive_find_trainer_class_by_name(name)
    except RuntimeError as error:
        from nnunet_trainers.trainers import trainer_classes

        near = difflib.get_close_matches(name, trainer_classes(), n=1, cutoff=0.0)[0]
        raise LightsegError(f"there is no trainer {name!r}; did you mean {near}?") from error


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
