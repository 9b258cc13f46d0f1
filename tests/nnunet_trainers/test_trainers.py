import ast
import copy
import importlib.util
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("nnunetv2")

import nnunetv2
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from monai_lightseg.networks import create_network, list_networks, network_card
from monai_lightseg.profiling import count_parameters
from nnunet_trainers.activation import VARIABLE, shim_directory
from nnunet_trainers.base import HISTORY_FILE, nnUNetTrainerLightseg
from nnunet_trainers.nmode_decoder import nnUNetTrainerNmODEDecoderSmoke
from nnunet_trainers.trainers import trainer_classes
from nnunet_trainers.ultralight_vm_unet import nnUNetTrainerUltraLightVMUNet_paper
from nnunet_trainers.unode import nnUNetTrainerUNodeAdaptive

ROOT = Path(__file__).resolve().parents[2]
TRAINERS = trainer_classes()
# Variants differ from these in numbers only, so networks are built for these alone.
BUILDERS = [trainer for trainer in TRAINERS.values() if "build_network_architecture" in vars(trainer)]
OWN_BUILDERS = [trainer for trainer in BUILDERS if trainer is not nnUNetTrainerLightseg]
# Trainers of registered networks, which take nothing but the number of dimensions from the plans.
REGISTERED = {TRAINERS[f"nnUNetTrainer{network_card(name).class_name}"]: name for name in list_networks()} | {
    nnUNetTrainerUltraLightVMUNet_paper: "ultralight_vm_unet",
    nnUNetTrainerUNodeAdaptive: "unode",
}
builders = pytest.mark.parametrize("trainer", BUILDERS, ids=lambda trainer: trainer.__name__)
own_builders = pytest.mark.parametrize("trainer", OWN_BUILDERS, ids=lambda trainer: trainer.__name__)
every_trainer = pytest.mark.parametrize("name", TRAINERS)


def architecture(name: str, dimensions: int, strides: list[list[int]]) -> dict[str, Any]:
    stages = len(strides)
    numbers = (
        {"n_blocks_per_stage": [1] * stages, "n_conv_per_stage_decoder": [1] * (stages - 1)}
        if name == "ResidualEncoderUNet"
        else {"n_conv_per_stage": [1] * stages, "n_conv_per_stage_decoder": [1] * (stages - 1)}
    )
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [4, 6, 8, 8][:stages],
            "conv_op": f"torch.nn.modules.conv.Conv{dimensions}d",
            "kernel_sizes": [[1 if side == 1 and dimensions == 3 else 3 for side in stride] for stride in strides],
            "strides": strides,
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimensions}d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
            **numbers,
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(patch: list[int], built: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "data_identifier": "nnUNetPlans_test",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": patch,
        "spacing": [1.0] * len(patch),
        "normalization_schemes": ["ZScoreNormalization"] * 3,
        "use_mask_for_norm": [False] * 3,
        "batch_dice": True,
        "architecture": built,
        **more,
    }


FLAT = [[1, 1], [2, 2], [2, 2]]
# As nnU-Net plans thick slices: in the plane alone at first, once in all directions, once more in the plane.
THICK = [[1, 1, 1], [1, 2, 2], [2, 2, 2], [1, 2, 2]]
PLANS: dict[str, Any] = {
    "dataset_name": "Dataset998_Test",
    "plans_name": "testPlans",
    "image_reader_writer": "NaturalImage2DIO",
    "label_manager": "LabelManager",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "foreground_intensity_properties_per_channel": {},
    "configurations": {
        "2d": configuration([32, 48], architecture("PlainConvUNet", 2, FLAT)),
        "2d residual": configuration([32, 48], architecture("ResidualEncoderUNet", 2, FLAT)),
        "3d_fullres": configuration([6, 16, 24], architecture("PlainConvUNet", 3, THICK)),
        "3d residual": configuration([6, 16, 24], architecture("ResidualEncoderUNet", 3, THICK)),
        "3d_cascade_fullres": configuration(
            [6, 16, 24], architecture("PlainConvUNet", 3, THICK), previous_stage="3d_lowres"
        ),
    },
}
DATASET = {
    "channel_names": {"0": "R", "1": "G", "2": "B"},
    "labels": {"background": 0, "lesion": 1},
    "numTraining": 4,
    "file_ending": ".png",
}


def is_2d_only(network: str) -> bool:
    try:
        with torch.device("meta"):
            create_network(network, spatial_dims=3)
    except ValueError:
        return True
    return False


ONLY_2D = [trainer for trainer, name in REGISTERED.items() if is_2d_only(name)]
only_2d = pytest.mark.parametrize("trainer", ONLY_2D, ids=lambda trainer: trainer.__name__)


def configurations(trainer: type) -> list[str]:
    if trainer in ONLY_2D:
        return ["2d"]
    return ["2d", "3d_fullres"] if trainer in REGISTERED else ["2d", "2d residual", "3d_fullres", "3d residual"]


BUILDS = [(trainer, name) for trainer in BUILDERS for name in configurations(trainer)]
every_build = pytest.mark.parametrize(
    ("trainer", "name"), BUILDS, ids=[f"{name}-{trainer.__name__}" for trainer, name in BUILDS]
)


def build(trainer: type, name: str = "2d", *, outputs: int = 2, deep_supervision: bool = False) -> torch.nn.Module:
    manager = PlansManager(copy.deepcopy(PLANS))
    torch.manual_seed(0)
    network = trainer.build_network_architecture(manager, manager.get_configuration(name), 3, outputs, deep_supervision)
    assert isinstance(network, torch.nn.Module)
    return network


def built_in_names() -> set[str]:
    folder = Path(nnunetv2.__path__[0]) / "training" / "nnUNetTrainer"
    return {
        node.name
        for file in folder.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    return tmp_path


Make = Callable[[type[nnUNetTrainerLightseg]], nnUNetTrainerLightseg]


@pytest.fixture
def make(folders: Path) -> Make:
    """Trainers on four preprocessed random images."""
    from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

    dataset = folders / "nnUNet_preprocessed" / "Dataset998_Test"
    images = dataset / "nnUNetPlans_test"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in "abcd":
        label = np.zeros((1, 1, 40, 56), np.int8)
        label[..., 10:30, 10:30] = 1
        image = rng.normal(size=(3, 1, 40, 56)).astype(np.float32) + label
        properties = {"class_locations": {1: np.argwhere(label == 1)}}
        nnUNetDatasetBlosc2.save_case(image, label, properties, str(images / name), *[(1, 1, 40, 56)] * 4)
    (dataset / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c", "d"]}]))
    (dataset / "dataset_fingerprint.json").write_text("{}")

    def trainer(made: type[nnUNetTrainerLightseg]) -> nnUNetTrainerLightseg:
        plans = copy.deepcopy(PLANS) | {"continue_training": False}
        return made(plans, "2d", 0, copy.deepcopy(DATASET), torch.device("cpu"))

    return trainer


class TinyTrainer(nnUNetTrainerNmODEDecoderSmoke):
    epochs = 2
    iterations_per_epoch = 1


def test_classes_of_others_are_not_listed() -> None:
    assert TinyTrainer.__name__ not in trainer_classes()
    assert {trainer.__module__.partition(".")[0] for trainer in trainer_classes().values()} == {"nnunet_trainers"}


def test_names_are_unique() -> None:
    built_in = built_in_names()
    assert "nnUNetTrainer_5epochs" in built_in
    assert not built_in & set(TRAINERS)
    assert len({name.lower() for name in TRAINERS}) == len(TRAINERS)


@every_trainer
def test_signatures(name: str) -> None:
    trainer = TRAINERS[name]
    assert list(inspect.signature(trainer.__init__).parameters) == [
        *("self", "plans", "configuration", "fold", "dataset_json", "device")
    ]
    defining = next(base for base in trainer.__mro__ if "build_network_architecture" in vars(base))
    assert isinstance(vars(defining)["build_network_architecture"], staticmethod)
    parameters = inspect.signature(trainer.build_network_architecture).parameters
    assert list(parameters) == [
        *("plans_manager", "configuration_manager", "num_input_channels", "num_output_channels"),
        "enable_deep_supervision",
    ]
    assert parameters["enable_deep_supervision"].default is True


@every_trainer
def test_pickles_and_is_documented(name: str) -> None:
    trainer = TRAINERS[name]
    assert pickle.loads(pickle.dumps(trainer)) is trainer
    assert trainer.__doc__


def test_epochs() -> None:
    variants = {name: trainer.epochs for name, trainer in TRAINERS.items() if name.endswith("epochs")}
    assert variants == {name: int(name.rpartition("_")[2].removesuffix("epochs")) for name in variants}
    planned = ("Lightseg", "LightsegCosine", "NmODEDecoder", "NmODEDecoderHeun", "NmODEDecoderMultistep")
    for family in (*planned, *(network_card(name).class_name for name in list_networks())):
        names = [f"nnUNetTrainer{family}_{epochs}epochs" for epochs in (5, 50, 250)]
        assert set(names) <= set(variants)
        assert TRAINERS[f"nnUNetTrainer{family}"].epochs == 1000
        built = {TRAINERS[name].build_network_architecture for name in [f"nnUNetTrainer{family}", *names]}
        assert len(built) == 1


def test_the_readme_names_every_trainer() -> None:
    (table,) = re.findall(r"^\| trainer \|.*?\n\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    named = {name.removeprefix("nnUNetTrainer") for name in re.findall(r"`(\w+)`", table)}
    variants = ("epochs", "Demo", "Smoke")
    trainers = {name.removeprefix("nnUNetTrainer") for name in TRAINERS if not name.endswith(variants)}
    assert named - {""} == trainers


def test_the_numbers_reach_nnunet(make: Make) -> None:
    trainer = make(TRAINERS["nnUNetTrainerNmODEDecoderHeun_5epochs"])
    assert (trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch) == (5, 250, 50)
    assert (trainer.initial_lr, trainer.save_every, trainer.enable_deep_supervision) == (1e-3, 1, False)
    assert make(nnUNetTrainerLightseg).save_every == 20


@every_trainer
def test_nnunet_finds_the_same_class_twice(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(shim_directory()))
    assert recursive_find_trainer_class_by_name(name) is TRAINERS[name]
    assert recursive_find_trainer_class_by_name(name) is TRAINERS[name]


def test_the_shim_directory_holds_one_module_of_its_own_name() -> None:
    modules = list(shim_directory().glob("*.py"))
    assert [path.name for path in modules] == ["lightseg_trainer_shim.py"]
    assert importlib.util.find_spec("lightseg_trainer_shim") is None


def test_the_shim_survives_a_missing_dependency() -> None:
    code = "import sys; sys.modules['monai'] = None; import lightseg_trainer_shim; print('alive')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(shim_directory())])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout == "alive\n"
    assert "monai-lightseg: no trainers: " in done.stderr


@every_build
def test_networks(trainer: type, name: str) -> None:
    network = build(trainer, name, outputs=5).eval()
    patch = PLANS["configurations"][name]["patch_size"]
    with torch.no_grad():
        for value in network.decoder.parameters():
            value.mul_(5)
        image = torch.randn(2, 3, *patch)
        first, second = network(image), network(image)
        assert first.shape == (2, 5, *patch)
        # Raw logits: neither a sigmoid nor a softmax gives such values.
        assert first.min() < 0 and first.max() > 1
        # nnU-Net's predictor adds up in place onto what the network returns.
        assert first.untyped_storage().data_ptr() != second.untyped_storage().data_ptr()
        before = second.clone()
        first += 1
        first *= 2
        assert torch.equal(second, before)
        assert torch.equal(network(image), before)


@every_build
def test_parameters_do_not_depend_on_deep_supervision(trainer: type, name: str) -> None:
    shapes = [
        {key: value.shape for key, value in build(trainer, name, deep_supervision=flag).state_dict().items()}
        for flag in (False, True)
    ]
    assert shapes[0] == shapes[1]


@own_builders
def test_any_patch(trainer: type) -> None:
    with torch.inference_mode():
        assert build(trainer).eval()(torch.randn(1, 3, 33, 50)).shape == (1, 2, 33, 50)


@own_builders
def test_every_parameter_gets_a_gradient(trainer: type) -> None:
    network = build(trainer)
    outputs = network(torch.randn(2, 3, 32, 48))
    for logits in outputs if isinstance(outputs, list) else [outputs]:
        logits.square().mean().backward(retain_graph=True)
    assert [name for name, value in network.named_parameters() if value.grad is None] == []


def test_the_planned_network_waits_for_no_gradient_that_never_comes() -> None:
    """DistributedDataParallel would stop at the heads that its decoder keeps for deep supervision."""
    network = build(nnUNetTrainerLightseg)
    network(torch.randn(2, 3, 32, 48)).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.requires_grad and value.grad is None] == []


@pytest.mark.parametrize(("trainer", "name"), REGISTERED.items(), ids=[trainer.__name__ for trainer in REGISTERED])
def test_registered_networks_have_their_published_size(trainer: type, name: str) -> None:
    assert count_parameters(build(trainer, outputs=1)) == network_card(name).parameters


@only_2d
@pytest.mark.parametrize("name", ["3d_fullres", "3d residual"])
def test_3d_is_refused(trainer: type, name: str) -> None:
    with pytest.raises(NotImplementedError, match=r" is 2D: .*; train the 2d configuration$"):
        build(trainer, name)


@builders
def test_cascades_are_refused(trainer: type) -> None:
    with pytest.raises(NotImplementedError, match="no cascades: train the 2d"):
        build(trainer, "3d_cascade_fullres")


@builders
def test_deep_supervision_may_be_switched(trainer: type[nnUNetTrainerLightseg], make: Make) -> None:
    made = make(trainer)
    made.initialize()
    for enabled in (True, False, True):
        made.set_deep_supervision_enabled(enabled)
        assert isinstance(made.network.eval()(torch.randn(1, 3, 32, 48)), torch.Tensor)


@builders
def test_one_iteration(trainer: type[nnUNetTrainerLightseg], make: Make) -> None:
    torch.manual_seed(0)
    made = make(trainer)
    made.initialize()
    assert isinstance(made.optimizer, torch.optim.AdamW)
    before = copy.deepcopy(made.network.state_dict())
    target = torch.zeros(2, 1, 32, 48)
    target[..., 8:20, 8:20] = 1
    made.network.train()
    assert np.isfinite(made.train_step({"data": torch.randn(2, 3, 32, 48), "target": target})["loss"])
    assert any(not torch.equal(before[name], value) for name, value in made.network.state_dict().items())


def test_a_short_training_and_its_history(make: Make) -> None:
    made = make(TinyTrainer)
    made.run_training()
    folder = Path(made.output_folder)
    history = json.loads((folder / HISTORY_FILE).read_text())
    assert sorted(history) == ["epoch_seconds", "mean_fg_dice", "train_losses", "val_losses"]
    assert [len(values) for values in history.values()] == [2] * 4
    assert all(np.isfinite(value) for name in ("train_losses", "val_losses") for value in history[name])
    assert all(seconds > 0 for seconds in history["epoch_seconds"])
    names = {path.name for path in folder.iterdir()}
    assert "checkpoint_final.pth" in names
    assert not [name for name in names if name.startswith(".") or name.endswith(".partial")]


def test_training_continues(make: Make) -> None:
    killed = make(TinyTrainer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(killed, "on_validation_epoch_start", lambda: None if killed.current_epoch == 0 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            killed.run_training()
    folder = Path(killed.output_folder)
    assert (folder / "checkpoint_latest.pth").is_file()
    made = make(TinyTrainer)
    made.load_checkpoint(str(folder / "checkpoint_latest.pth"))
    assert made.current_epoch == 1
    made.run_training()
    assert len(json.loads((folder / HISTORY_FILE).read_text())["train_losses"]) == 2


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failed_save_keeps_the_checkpoint_before(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    made = make(TinyTrainer)
    made.initialize()
    target = tmp_path / "checkpoint.pth"
    made.save_checkpoint(str(target))
    before = target.read_bytes()

    def save(checkpoint: object, file: str) -> None:
        Path(file).write_bytes(b"half")
        raise error

    monkeypatch.setattr(torch, "save", save)
    with pytest.raises(type(error)):
        made.save_checkpoint(str(target))
    assert target.read_bytes() == before
    assert list(tmp_path.glob("checkpoint*")) == [target]


@pytest.mark.parametrize("setting", [{"disable_checkpointing": True}, {"local_rank": 1}])
def test_no_checkpoint_where_nnunet_writes_none(make: Make, tmp_path: Path, setting: dict[str, Any]) -> None:
    made = make(TinyTrainer)
    made.initialize()
    # Another process, which does write, may be in the middle of it.
    partial = tmp_path / "checkpoint.pth.partial"
    partial.write_bytes(b"half")
    for name, value in setting.items():
        setattr(made, name, value)
    made.save_checkpoint(str(tmp_path / "checkpoint.pth"))
    assert list(tmp_path.glob("checkpoint*")) == [partial]


@builders
def test_prediction_of_one_array(trainer: type) -> None:
    manager = PlansManager(copy.deepcopy(PLANS))
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.manual_initialization(
        *(build(trainer).eval(), manager, manager.get_configuration("2d")),
        parameters=None,
        dataset_json=DATASET,
        trainer_name=trainer.__name__,
        inference_allowed_mirroring_axes=(0, 1),
    )
    image = torch.randn(3, 1, 50, 70)
    with torch.inference_mode():
        logits = predictor.predict_sliding_window_return_logits(image)
    assert logits.shape == (2, 1, 50, 70)
    assert torch.isfinite(logits).all()
