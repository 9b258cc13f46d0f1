"""What keeps a training from starting, or lets it start on the wrong split, found before it is started."""

import contextlib
import importlib.metadata
import io
import os
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from monai_lightseg.data import check_splits
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.nnunet_splits import SPLITS_FILE
from monai_lightseg.errors import LightsegError
from nnunet_trainers.activation import VARIABLE, activate, is_enabled, shim_directory, startup_file
from nnunet_trainers.environment import variable_put_back
from nnunet_trainers.raw_channels import training_files

__all__ = [
    "INSTALL_NNUNET",
    "PREPROCESSED",
    "RESULTS",
    "Check",
    "check_folder",
    "dataset_name",
    "examine",
    "require_channels",
    "require_splits",
]

RAW = "nnUNet_raw"
PREPROCESSED = "nnUNet_preprocessed"
RESULTS = "nnUNet_results"
FOLDER_VARIABLES = (RAW, PREPROCESSED, RESULTS)
INSTALL_NNUNET = "pip install 'nnunetv2>=2.8,<3'"


@dataclass(frozen=True)
class Check:
    """One finding; `remedy` says what to do where `ok` is false, and is empty where it is true."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(dataset: str | None = None) -> list[Check]:
    """Check versions, nnU-Net's variables, every trainer of this package and, when named, one dataset.

    Trainers and dataset are looked up by nnU-Net itself; without a usable nnU-Net they are left out.

    Args:
        dataset: id or `DatasetXXX_Name`.

    Returns:
        The findings, good and bad, in the order in which they are best mended.
    """
    nnunet = _check_nnunet()
    checks = [_check_python(), _check_torch(), nnunet, _check_discovery()]
    checks += [check_folder(variable) for variable in FOLDER_VARIABLES]
    if nnunet.ok:
        checks += _check_trainers()
        if dataset is not None:
            checks += _check_dataset(dataset)
    return checks


def check_folder(variable: str) -> Check:
    """Check that the environment variable is set and names a folder that is there."""
    value = os.environ.get(variable, "")
    if not value:
        return Check(variable, False, f"{variable} is not set", f"export {variable}=/path/to/{variable}")
    if not Path(value).is_dir():
        return Check(
            variable,
            False,
            f"{variable} is {value}, which is no folder",
            f"mkdir -p {value}, or export {variable}=/path/to/{variable}",
        )
    return Check(variable, True, value)


def require_splits(dataset: str) -> None:
    """Check that nnU-Net would train on the split that lies with the raw dataset, where one does.

    nnU-Net reads the split from the preprocessed folder only, and without one there makes its own at random. Where
    nnUNet_raw is not set there is nothing to compare with.

    Args:
        dataset: id or `DatasetXXX_Name`.

    Raises:
        LightsegError: no such dataset, or the preprocessed folder has no copy of its split file or a different one.
    """
    name = dataset_name(dataset)
    raw, preprocessed = os.environ.get(RAW), os.environ.get(PREPROCESSED)
    if raw and preprocessed:
        check_splits(Path(raw) / name, Path(preprocessed) / name)


def require_channels(dataset: str) -> None:
    """Check the number of channels of the raw dataset's labels and images, where nnUNet_raw is set and has them.

    Args:
        dataset: id or `DatasetXXX_Name`.

    Raises:
        LightsegError: no such dataset, its dataset.json is damaged, or files have channels too many or too few.
    """
    raw = os.environ.get(RAW)
    if raw:
        for check in _check_channels(Path(raw) / dataset_name(dataset)):
            if not check.ok:
                raise LightsegError(f"{check.detail}; {check.remedy}")


def dataset_name(dataset: str) -> str:
    """The name `DatasetXXX_Name` of a dataset given by id or name, as nnU-Net reads it.

    Raises:
        LightsegError: no dataset has that id, or more than one has.
    """
    from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

    try:
        return str(maybe_convert_to_dataset_name(dataset))
    except (RuntimeError, ValueError) as error:
        folders = ", ".join(FOLDER_VARIABLES)
        raise LightsegError(
            f"dataset {dataset!r}: not one dataset of that id in {folders}; give its number, such as 18, or its name"
        ) from error


def _check_python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] < (3, 14)
    return Check("Python", ok, platform.python_version(), "" if ok else "use Python 3.11, 3.12 or 3.13")


def _check_torch() -> Check:
    remedy = "pip install 'torch>=2.8,!=2.9.*'"
    version = _installed("torch")
    if version is None:
        return Check("torch", False, "not installed", remedy)
    ok = _major_minor(version) >= (2, 8) and _major_minor(version) != (2, 9)
    return Check("torch", ok, version, "" if ok else remedy)


def _check_nnunet() -> Check:
    version = _installed("nnunetv2")
    if version is None:
        return Check("nnunetv2", False, "not installed", INSTALL_NNUNET)
    ok = (2, 8) <= _major_minor(version) < (3, 0)
    return Check("nnunetv2", ok, version, "" if ok else f"{VARIABLE} needs 2.8 or later, below 3: {INSTALL_NNUNET}")


def _check_discovery() -> Check:
    value = os.environ.get(VARIABLE, "")
    enabled = f", written by {startup_file()}" if is_enabled() else ""
    if str(shim_directory()) in value.split(os.pathsep):
        return Check(VARIABLE, True, f"{value}{enabled}")
    return Check(
        VARIABLE,
        False,
        f"does not name {shim_directory()}, so nnUNetv2_train does not find the trainers (lightseg nnunet train does)",
        f'export {VARIABLE}="$(lightseg nnunet path)${{{VARIABLE}:+:${VARIABLE}}}", or lightseg nnunet enable',
    )


def _check_trainers() -> list[Check]:
    # What nnU-Net prints while it looks is no finding, and would spoil the output for machines.
    with variable_put_back(VARIABLE), contextlib.redirect_stdout(io.StringIO()):
        activate()
        try:
            from nnunet_trainers.trainers import trainer_classes
        except ImportError as error:
            return [Check("trainers", False, str(error), f"reinstall: {INSTALL_NNUNET}")]
        return [_check_trainer(name, trainer) for name, trainer in trainer_classes().items()]


def _check_trainer(name: str, trainer: type) -> Check:
    remedy = f"remove what else lies in the folders of {VARIABLE}, then reinstall: {INSTALL_NNUNET}"
    try:
        from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

        found = recursive_find_trainer_class_by_name(name)
        if found is not trainer:
            return Check(name, False, f"nnU-Net finds {found.__module__}.{found.__qualname__} instead", remedy)
        return Check(name, True, f"found, built with {_build_and_run(found)} parameters, ran")
    except LightsegError as error:
        return Check(name, False, str(error), f"reinstall: {INSTALL_NNUNET}")
    except Exception as error:  # whatever the user's set-up raises is the finding
        return Check(name, False, f"{type(error).__name__}: {error}", remedy)


def _build_and_run(trainer: type) -> int:
    """Build the trainer's network from small plans, run it once, and return its number of parameters."""
    import torch
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    from nnunet_trainers.plans import light_architecture

    configuration = {"architecture": light_architecture((4, 8, 8)), "patch_size": [32, 32]}
    plans = {"plans_name": "doctor", "configurations": {"2d": configuration}}
    manager = PlansManager(plans)
    network = trainer.build_network_architecture(manager, manager.get_configuration("2d"), 3, 2, False)  # type: ignore[attr-defined]
    with torch.no_grad():
        shape = tuple(network.eval()(torch.zeros(1, 3, 32, 32)).shape)
    if shape != (1, 2, 32, 32):
        raise RuntimeError(f"the network returns {shape} for a 32 x 32 image and 2 classes")
    return sum(parameter.numel() for parameter in network.parameters())


def _check_dataset(dataset: str) -> list[Check]:
    try:
        name = dataset_name(dataset)
    except LightsegError as error:
        return [Check("dataset", False, str(error), "lightseg data convert --help shows how to make one")]
    raw, preprocessed = (Path(os.environ.get(variable, "")) / name for variable in (RAW, PREPROCESSED))
    if not raw.is_dir():
        return [Check("dataset", False, f"{raw} does not exist", f"write {name} to nnUNet_raw: lightseg data convert")]
    source, target = raw / SPLITS_FILE, preprocessed / SPLITS_FILE
    try:
        check_splits(raw, preprocessed)
    except LightsegError as error:
        splits = Check("splits", False, str(error), f"copy {source} to {target}")
    else:
        kept = f"{target} is the split of {source}"
        splits = Check("splits", True, kept if source.exists() else f"no {source}: nnU-Net divides the cases itself")
    try:
        channels = _check_channels(raw)
    except LightsegError as error:
        channels = [Check("dataset.json", False, str(error), "lightseg data convert writes one")]
    return [Check("dataset", True, str(raw)), splits, *channels]


def _check_channels(raw_dataset: Path) -> list[Check]:
    """Findings on labels and images; none for a dataset of other files than 2D pictures."""
    files = training_files(raw_dataset)
    if files is None:
        return []
    again = "then plan and preprocess again"
    labels, images = files.wrong_labels(), files.wrong_images()
    return [
        Check(
            "labels",
            not labels,
            f"labels that have not one channel: {', '.join(first_few(labels))}"
            if labels
            else f"{len(files.labels)} of one channel",
            f"save them as grey pictures of the values 0, 1, ..., {again}" if labels else "",
        ),
        Check(
            "images",
            not images,
            f"images that have not the {files.channels} channels of channel_names: {', '.join(first_few(images))}"
            if images
            else f"{len(files.images)} of {files.channels} channels",
            f"save them as RGB or mend channel_names in dataset.json, {again}" if images else "",
        ),
    ]


def _installed(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _major_minor(version: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)
