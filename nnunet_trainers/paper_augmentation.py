"""The augmentation UltraLight VM-UNet was released with, as nnU-Net transforms of one (C, H, W) image and its mask."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.nnunet_masking import MaskImageTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

__all__ = ["Rot90FlipTransform", "paper_rotation", "paper_training_transforms"]


class Rot90FlipTransform(BasicTransform):
    """With `probability`, rotate by a random number of quarter turns, then flip along a random one of the two axes.

    A patch that is not square is rotated by 0 or 2 quarter turns alone, because 1 and 3 would change its shape.

    Args:
        patch_size: (H, W) of the patch.
        probability: of the rotation and the flip together.
    """

    def __init__(self, patch_size: Sequence[int], probability: float) -> None:
        super().__init__()
        height, width = patch_size
        self.quarter_turns = (0, 1, 2, 3) if height == width else (0, 2)
        self.probability = probability

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """Whether to transform, the quarter turns and the axis to flip."""
        # From numpy: nnU-Net's workers all inherit the same state of torch's generator.
        return {
            "transform": np.random.random() < self.probability,
            "quarter_turns": int(np.random.choice(self.quarter_turns)),
            "axis": int(np.random.choice((1, 2))),
        }

    def _apply_to_image(self, image: torch.Tensor, *, transform: bool, quarter_turns: int, axis: int) -> torch.Tensor:
        return torch.rot90(image, quarter_turns, (1, 2)).flip(axis) if transform else image

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **parameters: Any) -> torch.Tensor:
        return self._apply_to_image(segmentation, **parameters)


def paper_rotation(patch_size: Sequence[int], probability: float) -> SpatialTransform:
    """With `probability`, a rotation about the centre by 20 to 79 whole degrees, nearest neighbour, the rest set to 0.

    Args:
        patch_size: (H, W) of the patch, which is kept.
        probability: of the rotation.
    """
    return SpatialTransform(
        patch_size,
        patch_center_dist_from_border=0,
        random_crop=False,
        p_rotation=probability,
        rotation=_angle,
        mode_image="nearest",
        mode_seg="nearest",
    )


def paper_training_transforms(
    patch_size: Sequence[int],
    rotation_for_DA: Any,
    deep_supervision_scales: Any,
    mirror_axes: Any,
    do_dummy_2d_data_aug: bool,
    use_mask_for_norm: Sequence[bool] | None = None,
    is_cascaded: bool = False,
    foreground_labels: Sequence[int] | None = None,
    regions: Sequence[Any] | None = None,
    ignore_label: int | None = None,
) -> BasicTransform:
    """nnU-Net's `get_training_transforms`: the two events, each with probability 0.5, then what the labels need.

    The 0 that fills the corners is the mean of an image nnU-Net normalised by z-score; as released it is the darkest
    value.

    Args:
        patch_size: (H, W) of the patch.
        rotation_for_DA: not used.
        deep_supervision_scales: not used, there are no auxiliary outputs.
        mirror_axes: not used.
        do_dummy_2d_data_aug: not used, the patch is 2D.
        use_mask_for_norm: per channel, whether nnU-Net keeps it at 0 outside of the image's mask.
        is_cascaded: has to be False.
        foreground_labels: not used.
        regions: labels of each region, for datasets with regions.
        ignore_label: label that the loss leaves out.

    Raises:
        NotImplementedError: the configuration is the second stage of a cascade.
    """
    if is_cascaded:
        raise NotImplementedError("this augmentation supports no cascades: train the 2d configuration")
    masked = [channel for channel, use in enumerate(use_mask_for_norm or ()) if use]
    return ComposeTransforms(
        [
            Rot90FlipTransform(patch_size, probability=0.5),
            paper_rotation(patch_size, probability=0.5),
            MaskImageTransform(masked),
            nnUNetTrainer.get_validation_transforms(None, regions=regions, ignore_label=ignore_label),
        ]
    )


def _angle(**_: Any) -> float:
    """Radians; negative turns the image the way scipy.ndimage.rotate does by a positive angle."""
    return -math.radians(np.random.randint(20, 80))
