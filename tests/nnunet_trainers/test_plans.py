import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("nnunetv2")

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from monai_lightseg.errors import LightsegError
from nnunet_trainers.plans import light_plans, write_light_plans
from nnunet_trainers.trainers import trainer_classes
from tests.nnunet_trainers.test_trainers import PLANS

DATASET = "Dataset998_Test"


def planned(*patch: int) -> dict[str, Any]:
    plans = copy.deepcopy(PLANS)
    plans["configurations"]["2d"]["patch_size"] = list(patch)
    return plans


def light(plans: dict[str, Any], **options: Any) -> dict[str, Any]:
    asked = {"name": "light", "patch": (256, 256), "batch": 8, "features": (8, 16, 32, 64, 128), **options}
    return light_plans(plans, **asked)


@pytest.mark.parametrize(
    ("sides", "options", "expected"),
    [
        ((512, 512), {}, [256, 256]),
        ((192, 256), {}, [192, 256]),
        ((200, 1000), {}, [192, 256]),
        ((512, 512), {"patch": (100, 130)}, [96, 128]),
        ((512, 512), {"patch": (100, 130), "features": (8, 16, 32)}, [100, 128]),
        ((16, 64), {}, [16, 64]),
    ],
)
def test_patch(sides: tuple[int, int], options: dict[str, Any], expected: list[int]) -> None:
    made = light(planned(*sides), **options)["configurations"]["2d"]
    assert made["patch_size"] == expected


def test_only_what_is_light_changes() -> None:
    plans = planned(512, 512)
    before = copy.deepcopy(plans)
    made = light(plans, batch=4, features=(4, 8, 8))
    assert plans == before
    assert made["plans_name"] == "light"
    assert list(made["configurations"]) == ["2d"]
    configuration = made["configurations"]["2d"]
    assert configuration["batch_size"] == 4
    changed = {"patch_size", "batch_size", "architecture"}
    assert {key for key, value in before["configurations"]["2d"].items() if configuration[key] != value} == changed
    assert {key for key in before if made[key] != before[key]} == {"plans_name", "configurations"}


@pytest.mark.parametrize("name", ["nnUNetTrainerLightseg", "nnUNetTrainerNmODEDecoder"])
def test_nnunet_builds_from_them(name: str) -> None:
    manager = PlansManager(light(planned(64, 64), features=(4, 8, 16)))
    network = trainer_classes()[name].build_network_architecture(manager, manager.get_configuration("2d"), 3, 2, False)
    assert [stage[0] for stage in manager.get_configuration("2d").pool_op_kernel_sizes] == [1, 2, 2]
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2, 64, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": (8, 16)}, "three or more features"),
        ({"batch": 1}, "a batch of 2 or more"),
        ({"patch": (16, 16)}, r"patch \[16, 16\] is too small for 5 stages \(multiples of 16\)"),
        ({"patch": (15, 256)}, "too small"),
    ],
)
def test_values_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LightsegError, match=message):
        light(planned(512, 512), **options)


def test_plans_without_2d() -> None:
    plans = planned(512, 512)
    del plans["configurations"]["2d"]
    with pytest.raises(LightsegError, match="'testPlans' have no 2d configuration"):
        light(plans)


def test_a_2d_configuration_without_a_patch_of_its_own() -> None:
    plans = planned(512, 512)
    plans["configurations"]["2d"] = {"inherits_from": "2d residual"}
    with pytest.raises(LightsegError, match="'testPlans' inherit"):
        light(plans)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("nnUNet_raw", "nnUNet_results"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path))
    folder = tmp_path / DATASET
    folder.mkdir()
    (folder / "nnUNetPlans.json").write_text(json.dumps(planned(512, 512)))
    return folder


@pytest.mark.parametrize("dataset", ["998", DATASET])
def test_write(folder: Path, dataset: str) -> None:
    written = write_light_plans(dataset)
    assert written == folder / "nnUNetLightPlans.json"
    plans = json.loads(written.read_text())
    assert plans["plans_name"] == written.stem
    configuration = plans["configurations"]["2d"]
    assert (configuration["patch_size"], configuration["batch_size"]) == ([256, 256], 8)
    assert configuration["architecture"]["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64, 128]
    assert sorted(path.name for path in folder.iterdir()) == ["nnUNetLightPlans.json", "nnUNetPlans.json"]


@pytest.mark.parametrize("name", ["nnUNetPlans", "a__b", "../a", "", "a.b"])
def test_bad_names(folder: Path, name: str) -> None:
    with pytest.raises(LightsegError, match="plans name"):
        write_light_plans("998", name=name)
    assert [path.name for path in folder.iterdir()] == ["nnUNetPlans.json"]


@pytest.mark.parametrize("dataset", ["997", "Nonsense", "Dataset997_Other"])
def test_no_such_dataset(folder: Path, dataset: str) -> None:
    with pytest.raises(LightsegError, match=dataset):
        write_light_plans(dataset)


def test_not_planned(folder: Path) -> None:
    with pytest.raises(LightsegError, match=r"other\.json does not exist: run `nnUNetv2_plan_and_preprocess -d 998"):
        write_light_plans("998", source="other")


def test_damaged_plans(folder: Path) -> None:
    (folder / "nnUNetPlans.json").write_text("{")
    with pytest.raises(LightsegError, match=r"nnUNetPlans\.json cannot be read as JSON"):
        write_light_plans("998")


def test_a_folder_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nnunet_trainers.plans.write_text", refuse)
    with pytest.raises(LightsegError, match=r"nnUNetLightPlans\.json cannot be written \(No space left"):
        write_light_plans("998")


def test_without_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_preprocessed")
    with pytest.raises(LightsegError, match="export nnUNet_preprocessed="):
        write_light_plans("998")
