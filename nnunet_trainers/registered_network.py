"""What builds a trainer around one registered network."""

from collections.abc import Callable

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from monai_lightseg.networks import create_network

__all__ = ["network_builder"]


def network_builder(name: str) -> Callable[..., nn.Module]:
    """nnU-Net's `build_network_architecture` for the 2D network registered as `name`, at its defaults."""

    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The registered network with one output per head; of the plans, only the dimensions matter.

        Raises:
            NotImplementedError: the configuration is 3D or the second stage of a cascade.
        """
        if len(configuration_manager.patch_size) != 2 or configuration_manager.previous_stage_name is not None:
            raise NotImplementedError(f"{name} is 2D and supports no cascades: train the 2d configuration")
        return create_network(name, in_channels=num_input_channels, out_channels=num_output_channels)

    return build_network_architecture
