import os
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("nnunetv2")

from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.logging.nnunet_logger import MetaLogger
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnunet_trainers import trainers
from nnunet_trainers.activation import VARIABLE, shim_directory
from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.numbered_batches import NumberedBatches, seed_generators
from nnunet_trainers.seeded import SeededTrainer, seeded_variant
from nnunet_trainers.trainers import trainer_classes
from tests.nnunet_trainers import test_trainers
from tests.nnunet_trainers.test_trainers import Make

folders, make = test_trainers.folders, test_trainers.make

ULITE = "nnUNetTrainerULite_50epochs_seed1"


class Tiny(nnUNetTrainerLightseg):
    """The planned network, with dropout, so that training draws from torch's generator as well."""

    epochs = 2
    iterations_per_epoch = 3
    val_iterations_per_epoch = 2

    @staticmethod
    def build_network_architecture(
        plans_manager: Any,
        configuration_manager: Any,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        network = nnUNetTrainerLightseg.build_network_architecture(
            plans_manager, configuration_manager, num_input_channels, num_output_channels
        )
        network.encoder.stages[0].register_forward_hook(
            lambda module, _, output: nn.functional.dropout(output, 0.2, module.training)
        )
        return network


SEED_1, SEED_2 = (seeded_variant(Tiny, seed, __name__) for seed in (1, 2))


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    # Most of the time otherwise goes into a picture of 30 x 54 inches.
    monkeypatch.setattr(MetaLogger, "plot_progress_png", lambda logger, folder: None)


def trained(made: nnUNetTrainerLightseg) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Everything a run leaves but for its times: curves and best score, and weights."""
    made.run_training()
    history = {name: values for name, values in made._history().items() if name != "epoch_seconds"}
    return history | {"best": made._best_ema}, made.network.state_dict()


def same(
    one: tuple[dict[str, Any], dict[str, torch.Tensor]], other: tuple[dict[str, Any], dict[str, torch.Tensor]]
) -> bool:
    return one[0] == other[0] and all(torch.equal(value, other[1][name]) for name, value in one[1].items())


def test_nnunet_finds_the_same_class_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(shim_directory()))
    found = recursive_find_trainer_class_by_name(ULITE)
    assert recursive_find_trainer_class_by_name(ULITE) is found
    assert (found.__name__, found.seed, found.epochs) == (ULITE, 1, 50)
    assert issubclass(found, trainer_classes()["nnUNetTrainerULite_50epochs"])
    assert pickle.loads(pickle.dumps(found)) is found
    assert ULITE not in trainer_classes()


@pytest.mark.parametrize(
    "name",
    [
        *("nnUNetTrainerULite_seed", "nnUNetTrainerULite_seed01", "nnUNetTrainerULite_seed-1", "nnUNetTrainer_seed1"),
        *("nnUNetTrainerULite_seed1_seed2", "nnUNetTrainerULite_seed1_5epochs", "nnUNetTrainerULite_seed1000000000"),
    ],
)
def test_other_names_are_no_trainers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError, match=f"has no attribute '{name}'"):
        getattr(trainers, name)
    monkeypatch.setenv(VARIABLE, str(shim_directory()))
    with pytest.raises(RuntimeError, match="Could not find requested nnunet trainer"):
        recursive_find_trainer_class_by_name(name)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_seed_gives_the_same_numbers_again(workers: str, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    # The first run is without workers: how many there are makes no difference.
    first = trained(make(SEED_1))
    monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    assert same(first, trained(make(SEED_1)))
    assert not same(first, trained(make(SEED_2)))


def test_without_a_seed_every_run_differs(make: Make) -> None:
    assert not same(trained(make(Tiny)), trained(make(Tiny)))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(
    workers: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(make(SEED_1))
    killed = make(SEED_1)
    start = killed.on_validation_epoch_start
    monkeypatch.setattr(killed, "on_validation_epoch_start", lambda: start() if killed.current_epoch == 0 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        killed.run_training()
    monkeypatch.setenv("nnUNet_n_proc_DA", workers)
    made = make(SEED_1)
    made.load_checkpoint(str(Path(killed.output_folder) / "checkpoint_latest.pth"))
    assert (made.current_epoch, made._best_ema) == (1, killed._best_ema)
    assert same(whole, trained(made))


@pytest.fixture
def settings() -> Iterator[None]:
    """Settings as somebody may have them; those of before afterwards."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = False, True
    yield
    cudnn.deterministic, cudnn.benchmark = before


def current_settings() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark


@pytest.mark.parametrize("method", ["run_training", "perform_actual_validation"])
def test_deterministic_algorithms_inside_alone(
    method: str, make: Make, settings: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def stand_in(*_: object) -> None:
        seen.append((*current_settings(), torch.is_deterministic_algorithms_warn_only_enabled()))
        raise KeyboardInterrupt

    made = make(SEED_1)
    monkeypatch.setattr(nnUNetTrainerLightseg, method, stand_in)
    with pytest.raises(KeyboardInterrupt):
        getattr(made, method)()
    assert seen == [(True, True, False, True)]
    assert current_settings() == (False, False, True)


def test_a_seeded_trainer_is_not_compiled(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_compile", "t")
    made = [make(trainer) for trainer in (SEED_1, Tiny)]
    for trainer in made:
        trainer.device = torch.device("cuda")
    assert [trainer._do_i_compile() for trainer in made] == [False, True]


def test_cublas_is_configured_unless_it_is(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    for before, after in ((":16:8", ":16:8"), (None, ":4096:8")):
        monkeypatch.delenv(name, raising=False)
        if before is not None:
            monkeypatch.setenv(name, before)
        make(SEED_1).initialize()
        assert os.environ[name] == after


def test_data_loaders(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(SEED_1)
    made.initialize()
    made.current_epoch = 4
    for augmenter, first in zip(made.get_dataloaders(), (4 * 3, 4 * 2), strict=True):
        assert isinstance(augmenter, SingleThreadedAugmenter)
        assert (augmenter.data_loader.number, augmenter.data_loader.step) == (first, 1)
    training, _ = made.get_dataloaders()
    blurs = [
        transform.transform
        for transform in training.data_loader.loader.transforms.transforms
        if isinstance(getattr(transform, "transform", None), GaussianBlurTransform)
    ]
    assert [blur.benchmark for blur in blurs] == [False]
    assert os.environ["nnUNet_n_proc_DA"] == "0"


def test_data_loaders_without_a_seed_are_those_of_nnunet(make: Make) -> None:
    made = make(Tiny)
    made.initialize()
    training, _ = made.get_dataloaders()
    assert isinstance(training.data_loader, nnUNetDataLoader)
    assert not isinstance(made, SeededTrainer)


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.random(), torch.rand(1).item()


class Draws:
    """In place of a data loader: a batch is what the generators give."""

    def set_thread_id(self, thread_id: int) -> None:
        pass

    def __next__(self) -> tuple[float, float, float]:
        return draw()


def test_batches_depend_on_their_number_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    alone = NumberedBatches(Draws(), (1, 0, 2), first=3, step=1)
    batches = [next(alone) for _ in range(6)]
    assert len({value for batch in batches for value in batch}) == 6 * 3
    for worker in range(2):
        shared = NumberedBatches(Draws(), (1, 0, 2), first=3, step=2)
        shared.set_thread_id(worker)
        assert [next(shared) for _ in range(3)] == batches[worker::2]
    for other in ((2, 0, 2), (1, 1, 2), (1, 0, 3)):
        assert next(NumberedBatches(Draws(), other, first=3, step=1)) != batches[0]


def test_batches_leave_the_generators_as_they_were() -> None:
    seed_generators(5)
    expected = draw()
    seed_generators(5)
    next(NumberedBatches(Draws(), (1,), first=0, step=1))
    assert draw() == expected
