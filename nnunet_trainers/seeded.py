"""Any trainer of this package under a seed: the same numbers again on the same machine. docs/seeds.md says how far."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch.backends import cudnn

from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.environment import variable_put_back
from nnunet_trainers.numbered_batches import numbered_augmenter, seed_generators

__all__ = ["SeededTrainer", "seeded_variant"]

# What is drawn under a seed; the order is part of every result, so new ones go to the end.
NETWORK, EPOCH, TRAINING_BATCH, VALIDATION_BATCH = range(4)
WORKERS = "nnUNet_n_proc_DA"


class SeededTrainer(nnUNetTrainerLightseg):
    """What a seed adds to a trainer; `seeded_variant` puts it in front of one.

    The network's start is drawn under the seed, what an epoch draws under the seed and its number, and each batch under
    the seed and its number, so that a run that was interrupted goes on as if it had not been. Deterministic algorithms
    are on while it trains and validates; it is not compiled, because the compiler picks kernels by timing them.
    """

    seed: int

    def initialize(self) -> None:
        """As nnU-Net, from generators of a known state."""
        # cuBLAS reads it when it is first used, and is not deterministic without.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.manual_seed(seed_generators(*self._entropy(NETWORK)))
        super().initialize()

    def get_dataloaders(
        self,
    ) -> tuple[MultiThreadedAugmenter | SingleThreadedAugmenter, MultiThreadedAugmenter | SingleThreadedAugmenter]:
        """nnU-Net's data loaders, with batches in the order of their numbers rather than as they come."""
        workers = get_allowed_n_proc_DA()
        with variable_put_back(WORKERS):
            # For one process, so that nnU-Net puts none of its own workers around them.
            os.environ[WORKERS] = "0"
            training, validation = super().get_dataloaders()
        pin_memory = self.device.type == "cuda"
        return (
            numbered_augmenter(
                training.data_loader,
                self._entropy(TRAINING_BATCH),
                first=self.current_epoch * self.num_iterations_per_epoch,
                workers=workers,
                pin_memory=pin_memory,
            ),
            numbered_augmenter(
                validation.data_loader,
                self._entropy(VALIDATION_BATCH),
                first=self.current_epoch * self.num_val_iterations_per_epoch,
                workers=(workers + 1) // 2,
                pin_memory=pin_memory,
            ),
        )

    def on_epoch_start(self) -> None:
        """As nnU-Net, from generators whose state depends on the seed and the epoch."""
        torch.manual_seed(seed_generators(*self._entropy(EPOCH), self.current_epoch))
        super().on_epoch_start()

    def load_checkpoint(self, filename_or_checkpoint: dict[str, Any] | str) -> None:
        """As nnU-Net, with the best epoch known: it saves `checkpoint_latest.pth` before it looks for a new best."""
        super().load_checkpoint(filename_or_checkpoint)
        self._best_ema = max(self.logger.get_value("ema_fg_dice", step=None))

    def run_training(self) -> None:
        """As nnU-Net, with deterministic algorithms."""
        with _deterministic():
            super().run_training()

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """As nnU-Net, with deterministic algorithms."""
        with _deterministic():
            super().perform_actual_validation(save_probabilities)

    def _do_i_compile(self) -> bool:
        return False

    def _entropy(self, drawn: int) -> tuple[int, ...]:
        return self.seed, self.local_rank, drawn


def seeded_variant(trainer: type[nnUNetTrainerLightseg], seed: int, module: str) -> type[SeededTrainer]:
    """A subclass of `trainer` called `<trainer>_seed<seed>`, which pickle is to look for in `module`."""
    return type(
        f"{trainer.__name__}_seed{seed}",
        (SeededTrainer, trainer),
        {"seed": seed, "__module__": module, "__doc__": f"{trainer.__name__} under the seed {seed}."},
    )


@contextmanager
def _deterministic() -> Iterator[None]:
    """Deterministic algorithms inside, a warning where there is none; the settings of before afterwards."""
    enabled, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    deterministic, benchmark = cudnn.deterministic, cudnn.benchmark
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        cudnn.deterministic, cudnn.benchmark = True, False
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        cudnn.deterministic, cudnn.benchmark = deterministic, benchmark
