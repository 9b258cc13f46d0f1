"""One file per published network. Importing this package registers them all."""

from monai_lightseg.networks.nets.nmode_unet import NmODEUNet
from monai_lightseg.networks.nets.ultralight_vm_unet import UltraLightVMUNet
from monai_lightseg.networks.nets.unet_bilinear import UNetBilinear

__all__ = ["NmODEUNet", "UNetBilinear", "UltraLightVMUNet"]
