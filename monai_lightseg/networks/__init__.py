"""Networks, decoders, their registry, and surgery on them."""

from monai_lightseg.networks.blocks.ode import ODESolver, count_evaluations, set_solver
from monai_lightseg.networks.decoders.nmode import NmODEDecoder
from monai_lightseg.networks.nets import (
    EGEUNet,
    LightMUNet,
    MALUNet,
    NmODEUNet,
    ULite,
    UltraLightVMUNet,
    UNetBilinear,
    UNeXt,
    UNeXtS,
    UNode,
    UResNet,
    ValidConvUNet,
)
from monai_lightseg.networks.registry import (
    NetworkCard,
    ReportedFigure,
    create_network,
    list_networks,
    network_card,
    network_class,
    register_network,
)
from monai_lightseg.networks.surgery import parallelize, replace_decoder
from monai_lightseg.networks.unet_like import UNetLike

__all__ = [
    "EGEUNet",
    "LightMUNet",
    "MALUNet",
    "NetworkCard",
    "NmODEDecoder",
    "NmODEUNet",
    "ODESolver",
    "ReportedFigure",
    "ULite",
    "UNeXt",
    "UNeXtS",
    "UNetBilinear",
    "UNetLike",
    "UNode",
    "UResNet",
    "UltraLightVMUNet",
    "ValidConvUNet",
    "count_evaluations",
    "create_network",
    "list_networks",
    "network_card",
    "network_class",
    "parallelize",
    "register_network",
    "replace_decoder",
    "set_solver",
]
