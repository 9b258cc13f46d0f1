"""The encoder nnU-Net planned, with an nmODE decoder in place of nnU-Net's own; 2D and 3D."""

from collections.abc import Callable

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from monai_lightseg.networks import replace_decoder
from nnunet_trainers.base import epoch_variants, nnUNetTrainerLightseg

__all__ = [
    "nnUNetTrainerNmODEDecoder",
    "nnUNetTrainerNmODEDecoderDemo",
    "nnUNetTrainerNmODEDecoderHeun",
    "nnUNetTrainerNmODEDecoderMultistep",
    "nnUNetTrainerNmODEDecoderSmoke",
]


def nmode_builder(solver: str) -> Callable[..., nn.Module]:
    """nnU-Net's `build_network_architecture` for one solver of the nmODE decoder."""

    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The planned encoder with the decoder replaced; `enable_deep_supervision` changes nothing.

        Raises:
            NotImplementedError: the configuration is the second stage of a cascade.
        """
        planned = nnUNetTrainerLightseg.build_network_architecture(
            plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )
        return replace_decoder(planned, "nmode", solver=solver, out_channels=num_output_channels)

    return build_network_architecture


class nnUNetTrainerNmODEDecoder(nnUNetTrainerLightseg):
    """nmODE decoder, explicit Euler."""

    build_network_architecture = staticmethod(nmode_builder("euler"))


class nnUNetTrainerNmODEDecoderHeun(nnUNetTrainerLightseg):
    """nmODE decoder, Heun."""

    build_network_architecture = staticmethod(nmode_builder("heun"))


class nnUNetTrainerNmODEDecoderMultistep(nnUNetTrainerLightseg):
    """nmODE decoder, linear multistep in its released form."""

    build_network_architecture = staticmethod(nmode_builder("multistep"))


class nnUNetTrainerNmODEDecoderDemo(nnUNetTrainerNmODEDecoder):
    """What `lightseg demo` trains: a minute or two on two CPU cores."""

    epochs = 6
    iterations_per_epoch = 20
    val_iterations_per_epoch = 2
    learning_rate = 3e-3


class nnUNetTrainerNmODEDecoderSmoke(nnUNetTrainerNmODEDecoder):
    """Two iterations, to see that a set-up works."""

    epochs = 1
    iterations_per_epoch = 2
    val_iterations_per_epoch = 1


for _trainer in (nnUNetTrainerNmODEDecoder, nnUNetTrainerNmODEDecoderHeun, nnUNetTrainerNmODEDecoderMultistep):
    globals().update(epoch_variants(_trainer))
