"""The initial weights that U-Node, U-ResNet and their U-Net release.

Origin: DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45 (MIT); written anew.
"""

from torch import nn

__all__ = ["init_fan_in"]


def init_fan_in(network: nn.Module) -> None:
    """Kaiming normal weights (fan in, gain of ReLU) and zero biases in every 2D convolution; others stay."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
