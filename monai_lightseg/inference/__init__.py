"""From a network's output to a result: averages over flips, and objects."""

from monai_lightseg.inference.flips import predict_with_flips
from monai_lightseg.inference.gland_instances import (
    core_border_to_instances,
    probabilities_to_instances,
    resize_instances,
)

__all__ = ["core_border_to_instances", "predict_with_flips", "probabilities_to_instances", "resize_instances"]
