"""The plans route: a plans file with a light encoder, a patch and a batch that a small machine can train."""

import copy
import json
import math
import os
import re
from pathlib import Path
from typing import Any

from monai_lightseg.atomic import write_text
from monai_lightseg.errors import LightsegError
from nnunet_trainers.commands import require_nnunet
from nnunet_trainers.doctor import PREPROCESSED, dataset_name

__all__ = ["light_plans", "write_light_plans"]

FEATURES = (8, 16, 32, 64, 128)


def write_light_plans(
    dataset: str,
    *,
    source: str = "nnUNetPlans",
    name: str = "nnUNetLightPlans",
    patch: tuple[int, int] = (256, 256),
    batch: int = 8,
    features: tuple[int, ...] = FEATURES,
) -> Path:
    """Derive a light plans file from one that nnU-Net made; the preprocessed images are shared, nothing is rerun.

    Args:
        dataset: id or `DatasetXXX_Name`, planned and preprocessed before.
        source: name of the plans to start from.
        name: name of the new plans; `-p NAME` for nnU-Net's commands.
        patch: largest patch (H, W).
        batch: images per batch.
        features: channels per stage; the stride doubles from stage to stage.

    Returns:
        Path of the written file.

    Raises:
        LightsegError: a folder variable, the dataset or its plans are missing, or a value makes no sense.
    """
    require_nnunet(PREPROCESSED)
    folder = Path(os.environ[PREPROCESSED]) / dataset_name(dataset)
    source_file = folder / f"{source}.json"
    if not source_file.is_file():
        raise LightsegError(
            f"{source_file} does not exist: run `nnUNetv2_plan_and_preprocess -d {dataset} -c 2d` first"
        )
    # nnU-Net takes names apart at two underscores.
    if name == source or "__" in name or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise LightsegError(f"plans name {name!r}: use letters, digits, - and single _, and not the name of the source")
    try:
        planned = json.loads(source_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LightsegError(f"{source_file} cannot be read as JSON ({error}): plan the dataset again") from error
    plans = light_plans(planned, name=name, patch=patch, batch=batch, features=features)
    target = folder / f"{name}.json"
    try:
        write_text(target, json.dumps(plans, indent=4))
    except OSError as error:
        raise LightsegError(f"{target} cannot be written ({error.strerror}): check the folder") from error
    return target


def light_plans(
    plans: dict[str, Any], *, name: str, patch: tuple[int, int], batch: int, features: tuple[int, ...]
) -> dict[str, Any]:
    """The light plans as a dictionary: `plans` with the one configuration `2d` made light.

    The patch is the smaller of `patch` and the planned one per axis, rounded down to what the stages halve evenly.

    Raises:
        LightsegError: no `2d` configuration, fewer than three features, a batch below 2 or a patch too small.
    """
    if "2d" not in plans.get("configurations", {}):
        raise LightsegError(f"plans {plans.get('plans_name')!r} have no 2d configuration; light plans are 2D")
    if len(features) < 3 or batch < 2:
        raise LightsegError(
            f"light plans need three or more features and a batch of 2 or more, got {features}, {batch}"
        )
    planned = plans["configurations"]["2d"]
    if "patch_size" not in planned:
        raise LightsegError(f"plans {plans['plans_name']!r} inherit their 2d patch; start from plans that nnU-Net made")
    multiple = 2 ** (len(features) - 1)
    sides = [min(asked, side) // multiple * multiple for asked, side in zip(patch, planned["patch_size"], strict=True)]
    if math.prod(sides) < 4 * multiple**2:
        raise LightsegError(f"patch {sides} is too small for {len(features)} stages (multiples of {multiple})")
    light = copy.deepcopy(plans)
    light["plans_name"] = name
    configuration = copy.deepcopy(planned)
    configuration["patch_size"] = sides
    configuration["batch_size"] = batch
    configuration["architecture"] = light_architecture(features)
    light["configurations"] = {"2d": configuration}
    return light


def light_architecture(features: tuple[int, ...]) -> dict[str, Any]:
    """nnU-Net's PlainConvUNet with `features` channels per stage, two convolutions each, in plans form."""
    stages = len(features)
    return {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": list(features),
            "conv_op": "torch.nn.modules.conv.Conv2d",
            "kernel_sizes": [[3, 3]] * stages,
            "strides": [[1, 1]] + [[2, 2]] * (stages - 1),
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
