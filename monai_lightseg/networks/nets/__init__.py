"""One file per published network. Importing this package registers them all."""

from monai_lightseg.networks.nets.egeunet import EGEUNet
from monai_lightseg.networks.nets.lightm_unet import LightMUNet
from monai_lightseg.networks.nets.malunet import MALUNet
from monai_lightseg.networks.nets.nmode_unet import NmODEUNet
from monai_lightseg.networks.nets.ulite import ULite
from monai_lightseg.networks.nets.ultralight_vm_unet import UltraLightVMUNet
from monai_lightseg.networks.nets.unet_bilinear import UNetBilinear
from monai_lightseg.networks.nets.unet_valid import ValidConvUNet
from monai_lightseg.networks.nets.unext import UNeXt, UNeXtS
from monai_lightseg.networks.nets.unode import UNode
from monai_lightseg.networks.nets.uresnet import UResNet

__all__ = [
    "EGEUNet",
    "LightMUNet",
    "MALUNet",
    "NmODEUNet",
    "ULite",
    "UNeXt",
    "UNeXtS",
    "UNetBilinear",
    "UNode",
    "UResNet",
    "UltraLightVMUNet",
    "ValidConvUNet",
]
