"""UltraLight VM-UNet, 2D, with the optimiser and loss of its release; nnU-Net's augmentation, or (`_paper`) its own."""

import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from torch.optim.lr_scheduler import LRScheduler

from nnunet_trainers.base import epoch_variants, nnUNetTrainerLightseg
from nnunet_trainers.cosine_schedule import CosineSchedule
from nnunet_trainers.paper_augmentation import paper_training_transforms
from nnunet_trainers.registered_network import network_builder

__all__ = ["nnUNetTrainerUltraLightVMUNet", "nnUNetTrainerUltraLightVMUNet_paper"]


class nnUNetTrainerUltraLightVMUNet(nnUNetTrainerLightseg):
    """UltraLight VM-UNet: AdamW with cosine annealing from 1e-3 to 1e-5, cross-entropy and Dice per image.

    Augmentation, sampling and validation are nnU-Net's own.
    """

    # From the highest learning rate to the lowest; None: all epochs.
    cosine_epochs: int | None = None

    build_network_architecture = staticmethod(network_builder("ultralight_vm_unet"))

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """AdamW over all parameters, cosine annealing per epoch."""
        optimizer, _ = super().configure_optimizers()
        return optimizer, CosineSchedule(optimizer, self.cosine_epochs or self.num_epochs, minimum=1e-5)

    def _build_loss(self) -> DC_and_CE_loss | DC_and_BCE_loss:
        """nnU-Net's loss with Dice per image and smoothed by 1, which for one class is that of the paper less 1."""
        loss = super()._build_loss()
        loss.dc.batch_dice = False
        loss.dc.smooth = 1.0
        return loss


class nnUNetTrainerUltraLightVMUNet_paper(nnUNetTrainerUltraLightVMUNet):
    """The same with the augmentation, the 250 epochs and the learning rate, down and up in 100 epochs, of the release.

    The rest stays nnU-Net's: patch, batch and normalisation of the plans (`lightseg nnunet plan` gives batches of 8, as
    released), 250 batches an epoch with its foreground sampling, clipped gradients, mixed precision on CUDA, and the
    final checkpoint instead of the one of lowest validation loss.
    """

    epochs = 250
    cosine_epochs = 50

    get_training_transforms = staticmethod(paper_training_transforms)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(  # noqa: N802 (nnU-Net's name)
        self,
    ) -> tuple[tuple[float, float], bool, list[int], tuple[int, ...]]:
        """nnU-Net's values with no margin around the patch: the rotation fills the corners with 0."""
        rotation, dummy_2d, _, mirror_axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return rotation, dummy_2d, self.configuration_manager.patch_size, mirror_axes


for _trainer in (nnUNetTrainerUltraLightVMUNet, nnUNetTrainerUltraLightVMUNet_paper):
    globals().update(epoch_variants(_trainer))
