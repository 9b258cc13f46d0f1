"""What all trainers of this package share: the optimiser, checkpoints that appear whole, and a history file."""

import json
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from monai_lightseg.atomic import write_text
from monai_lightseg.data.nnunet_splits import SPLITS_FILE
from nnunet_trainers.doctor import require_splits
from nnunet_trainers.split_check import require_fold

__all__ = ["HISTORY_FILE", "epoch_variants", "nnUNetTrainerLightseg"]

HISTORY_FILE = "lightseg_history.json"


class nnUNetTrainerLightseg(nnUNetTrainer):
    """The network nnU-Net planned, unchanged, under the recipe of this package: the control for its other trainers.

    AdamW (1e-3, weight decay 1e-2) with nnU-Net's polynomial decay, no deep supervision; loss, augmentation, sampling
    and validation are nnU-Net's own. Writes `lightseg_history.json` into the fold's folder after every epoch: lists
    `train_losses`, `val_losses`, `mean_fg_dice` (nnU-Net's patch-level pseudo Dice) and `epoch_seconds`.
    """

    epochs = 1000
    iterations_per_epoch = 250
    val_iterations_per_epoch = 50
    learning_rate = 1e-3

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008 (nnU-Net's signature)
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.initial_lr = self.learning_rate
        self.weight_decay = 1e-2
        self.num_epochs = self.epochs
        self.num_iterations_per_epoch = self.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.val_iterations_per_epoch
        self.enable_deep_supervision = False
        # nnU-Net saves every 50 epochs, which leaves a short run nothing to resume from.
        self.save_every = max(1, self.num_epochs // 50)

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The planned network without deep supervision.

        Raises:
            NotImplementedError: the configuration is the second stage of a cascade.
        """
        if configuration_manager.previous_stage_name is not None:
            raise NotImplementedError(
                "these trainers support no cascades: train the 2d, 3d_fullres or 3d_lowres configuration"
            )
        network = get_network_from_plans(
            configuration_manager.network_arch_class_name,
            configuration_manager.network_arch_init_kwargs,
            configuration_manager.network_arch_init_kwargs_req_import,
            num_input_channels,
            num_output_channels,
            allow_init=True,
            deep_supervision=False,
        )
        # These heads are for deep supervision; DistributedDataParallel stops at a weight that gets no gradient.
        for head in network.decoder.seg_layers[:-1]:
            head.requires_grad_(False)
        return network

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """AdamW over all parameters, polynomial decay per epoch."""
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's split, refused where it is not the one that was asked for.

        Raises:
            LightsegError: the split that lies with the raw dataset is missing here or differs, the file has no such
                fold, or what `require_fold` finds wrong with it.
        """
        if self.fold != "all":
            require_splits(self.plans_manager.dataset_name)
            folder = Path(self.preprocessed_dataset_folder_base)
            if not (folder / SPLITS_FILE).is_file():
                super().do_split()  # writes one
            images = self.preprocessed_dataset_folder
            require_fold(folder, self.fold, infer_dataset_class(images).get_identifiers(images))
        return super().do_split()

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """Do nothing: auxiliary outputs, where a network has them, come and go with `train` and `eval`.

        nnU-Net looks for a switch inside the network, and switches them on after validation regardless.
        """

    def save_checkpoint(self, filename: str) -> None:
        """Write the checkpoint beside `filename` first, so that a killed run leaves the last whole one."""
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)  # writes nothing
            return
        temporary = Path(f"{filename}.partial")
        try:
            super().save_checkpoint(str(temporary))
            temporary.replace(filename)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def on_epoch_end(self) -> None:
        """Nothing but nnU-Net's own work, and the history file."""
        super().on_epoch_end()
        if self.local_rank == 0:
            write_text(Path(self.output_folder) / HISTORY_FILE, json.dumps(self._history(), indent=1))

    def _history(self) -> dict[str, list[float]]:
        names = ("train_losses", "val_losses", "mean_fg_dice")
        history = {name: [float(value) for value in self.logger.get_value(name, step=None)] for name in names}
        starts = self.logger.get_value("epoch_start_timestamps", step=None)
        ends = self.logger.get_value("epoch_end_timestamps", step=None)
        history["epoch_seconds"] = [end - start for start, end in zip(starts, ends, strict=True)]
        return history


def epoch_variants(
    trainer: type[nnUNetTrainerLightseg], epochs: tuple[int, ...] = (5, 50, 250)
) -> dict[str, type[nnUNetTrainerLightseg]]:
    """Subclasses of `trainer` that differ in the number of epochs, by name; nnU-Net has no option for that."""
    return {
        f"{trainer.__name__}_{number}epochs": type(
            f"{trainer.__name__}_{number}epochs",
            (trainer,),
            {"epochs": number, "__module__": trainer.__module__, "__doc__": f"{trainer.__name__}, {number} epochs."},
        )
        for number in epochs
    }


globals().update(epoch_variants(nnUNetTrainerLightseg))
