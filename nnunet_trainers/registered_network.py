"""One trainer for each registered network, called nnUNetTrainer and the name of its class, all under one recipe.

Optimiser and loss are those MALUNet, EGE-UNet and UltraLight VM-UNet were released with; the cosine goes down once.
U-Lite (Adam 2e-3, reduced on plateaus), LightM-UNet (Adam 1e-4, weight decay 1e-5, polynomial decay), UNeXt (Adam 1e-3,
weight decay 1e-4, cross-entropy halved), U-Node and U-ResNet (Adam 1e-3, cross-entropy) and the U-Net with valid
convolutions (Adam 1e-4, cross-entropy) were released with others; here all are trained alike, so that results compare
networks.
"""

from collections.abc import Callable
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import nn

from monai_lightseg.networks import create_network, list_networks, network_card, network_class
from nnunet_trainers.base import epoch_variants
from nnunet_trainers.light_recipe import nnUNetTrainerLightsegCosine

__all__ = ["network_builder"]

# Where a network's defaults are not what a training run should start with.
TRAINING_ARGUMENTS: dict[str, dict[str, Any]] = {
    # A known number of evaluations, and exact gradients in constant memory; docs/neural_odes.md has the figures.
    "unode": {"solver": "rk4"},
}


def network_builder(name: str, **arguments: Any) -> Callable[..., nn.Module]:
    """nnU-Net's `build_network_architecture` for the network registered as `name`, built with these arguments."""

    def build_network_architecture(
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The registered network, one output channel per head; of the plans, only the number of dimensions matters.

        `enable_deep_supervision` changes nothing: what auxiliary outputs the network has, it gives in training alone.

        Raises:
            NotImplementedError: the configuration is 3D and the network is not, or is the second stage of a cascade.
        """
        if configuration_manager.previous_stage_name is not None:
            raise NotImplementedError(f"{name} supports no cascades: train the 2d configuration")
        try:
            return create_network(
                name,
                spatial_dims=len(configuration_manager.patch_size),
                in_channels=num_input_channels,
                out_channels=num_output_channels,
                deep_supervision=bool(auxiliary_weights(name)),
                **arguments,
            )
        except ValueError as error:
            raise NotImplementedError(f"{error}; train the 2d configuration") from error

    return build_network_architecture


def auxiliary_weights(name: str) -> tuple[float, ...]:
    """Weights of the losses of the auxiliary logits of the network registered as `name`; empty where it has none."""
    return network_class(name).auxiliary_weights


def registered_trainer(name: str) -> type[nnUNetTrainerLightsegCosine]:
    """The trainer of the network registered as `name`."""
    network, weights = network_card(name).class_name, auxiliary_weights(name)
    arguments = TRAINING_ARGUMENTS.get(name, {})
    built = "at its defaults" if not arguments else f"with {arguments}, else at its defaults"
    described = [f"{network} {built}, under the recipe of nnUNetTrainerLightsegCosine."]
    if weights:
        described.append(f"Losses of its auxiliary logits, upsampled, weigh {weights}, finest first.")
    return type(
        f"nnUNetTrainer{network}",
        (nnUNetTrainerLightsegCosine,),
        {
            "__module__": __name__,
            "__doc__": " ".join(described),
            "auxiliary_weights": weights,
            "build_network_architecture": staticmethod(network_builder(name, **arguments)),
        },
    )


for _trainer in map(registered_trainer, list_networks()):
    globals().update({_trainer.__name__: _trainer, **epoch_variants(_trainer)})
