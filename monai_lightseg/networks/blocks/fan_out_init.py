"""The initial weights that UltraLight VM-UNet, MALUNet, EGE-UNet and UNeXt release.

Origin: wurenkai/UltraLight-VM-UNet@d7648e4ece53 (MIT) and the repositories of the other three; written anew.
"""

import math

from torch import nn

__all__ = ["init_fan_out"]


def init_fan_out(module: nn.Module, keep: type[nn.Module] | None = None) -> None:
    """Normal weights: linear ones of deviation 0.02, cut at 2, of convolutions sqrt(2 / fan out); biases 0.

    As released, a depthwise 1D convolution counts all its channels in the fan out, and keeps its bias.

    Args:
        module: it and everything in it is drawn anew.
        keep: modules of this class stay as they are.
    """
    if keep is not None and isinstance(module, keep):
        return
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv1d):
        nn.init.normal_(module.weight, std=math.sqrt(2 / (module.kernel_size[0] * module.out_channels)))
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
        nn.init.zeros_(module.bias)
    for child in module.children():
        init_fan_out(child, keep)
