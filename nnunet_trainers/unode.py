"""U-Node, 2D, with the adaptive steps of its release."""

from nnunet_trainers.base import epoch_variants
from nnunet_trainers.light_recipe import nnUNetTrainerLightsegCosine
from nnunet_trainers.registered_network import network_builder

__all__ = ["nnUNetTrainerUNodeAdaptive"]


class nnUNetTrainerUNodeAdaptive(nnUNetTrainerLightsegCosine):
    """U-Node by dopri5 and its adjoint, as released, with the package torchdiffeq.

    nnUNetTrainerUNode takes fixed steps; what that saves: docs/neural_odes.md.
    """

    build_network_architecture = staticmethod(network_builder("unode"))

    def _do_i_compile(self) -> bool:
        """No: a compiled graph would end at every block."""
        return False


globals().update(epoch_variants(nnUNetTrainerUNodeAdaptive))
