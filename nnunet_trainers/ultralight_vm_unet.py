"""UltraLight VM-UNet, 2D, with the augmentation and schedule of its release on top of the recipe."""

from nnunet_trainers.base import epoch_variants
from nnunet_trainers.light_recipe import nnUNetTrainerLightsegCosine
from nnunet_trainers.paper_augmentation import paper_training_transforms
from nnunet_trainers.registered_network import network_builder

__all__ = ["nnUNetTrainerUltraLightVMUNet_paper"]


class nnUNetTrainerUltraLightVMUNet_paper(nnUNetTrainerLightsegCosine):
    """UltraLight VM-UNet with the released augmentation, 250 epochs, learning rate down and up in 100 epochs.

    The rest stays nnU-Net's: patch, batch and normalisation of the plans (`lightseg nnunet plan` gives batches of 8, as
    released), 250 batches an epoch with its foreground sampling, clipped gradients, mixed precision on CUDA, and the
    final checkpoint instead of the one of lowest validation loss.
    """

    epochs = 250
    cosine_epochs = 50

    build_network_architecture = staticmethod(network_builder("ultralight_vm_unet"))
    get_training_transforms = staticmethod(paper_training_transforms)

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(  # noqa: N802 (nnU-Net's name)
        self,
    ) -> tuple[tuple[float, float], bool, list[int], tuple[int, ...]]:
        """nnU-Net's values with no margin around the patch: the rotation fills the corners with 0."""
        rotation, dummy_2d, _, mirror_axes = super().configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        return rotation, dummy_2d, self.configuration_manager.patch_size, mirror_axes


globals().update(epoch_variants(nnUNetTrainerUltraLightVMUNet_paper))
