"""A recipe close to that of the light papers: AdamW, one cosine over all epochs, cross-entropy and Dice per image."""

import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from torch.optim.lr_scheduler import LRScheduler

from nnunet_trainers.base import epoch_variants, nnUNetTrainerLightseg
from nnunet_trainers.cosine_schedule import CosineSchedule
from nnunet_trainers.upsampled_deep_supervision import UpsampledDeepSupervisionLoss

__all__ = ["nnUNetTrainerLightsegCosine"]


class nnUNetTrainerLightsegCosine(nnUNetTrainerLightseg):
    """The network nnU-Net planned under the recipe of the registered networks: the control for them.

    AdamW (1e-3, weight decay 1e-2) with cosine annealing to 1e-5, cross-entropy and Dice per image, as MALUNet,
    EGE-UNet and UltraLight VM-UNet were released, but for one thing: their cosine goes down and up in 100 epochs, here
    it goes down once over all of them. Augmentation, sampling and validation are nnU-Net's own.
    """

    # From the highest learning rate to the lowest; None: all epochs.
    cosine_epochs: int | None = None
    # Of the losses of the network's auxiliary logits, finest first; empty where it has none.
    auxiliary_weights: tuple[float, ...] = ()

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """AdamW over all parameters, cosine annealing per epoch."""
        optimizer, _ = super().configure_optimizers()
        return optimizer, CosineSchedule(optimizer, self.cosine_epochs or self.num_epochs, minimum=1e-5)

    def _build_loss(self) -> DC_and_CE_loss | DC_and_BCE_loss | UpsampledDeepSupervisionLoss:
        """nnU-Net's loss with Dice per image and smoothed by 1, which for one class is that of the papers less 1."""
        loss = super()._build_loss()
        loss.dc.batch_dice = False
        loss.dc.smooth = 1.0
        return UpsampledDeepSupervisionLoss(loss, self.auxiliary_weights) if self.auxiliary_weights else loss


globals().update(epoch_variants(nnUNetTrainerLightsegCosine))
