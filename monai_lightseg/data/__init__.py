"""Cases of an RGB image and a mask or labels: read from disk, drawn, divided, changed, and written for nnU-Net."""

from monai_lightseg.data.cases import Case, FileCase, Label
from monai_lightseg.data.data_set import DataSet
from monai_lightseg.data.detect import read_cases
from monai_lightseg.data.folder import read_folder
from monai_lightseg.data.gland_augmentation import GlandAugmentation
from monai_lightseg.data.gland_preprocessing import (
    ReducedCase,
    centre_crop,
    reduce_image,
    reduce_labels,
    reflect_pad,
)
from monai_lightseg.data.gland_targets import core_border_labels, gland_targets
from monai_lightseg.data.glas import GlasCase, glas_split, holds_glas, read_glas
from monai_lightseg.data.images import read_mask, read_rgb
from monai_lightseg.data.isic import read_isic2018
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.data.nnunet_raw import write_nnunet_raw
from monai_lightseg.data.nnunet_splits import check_splits, install_splits
from monai_lightseg.data.splits import CrossValidation, Split, random_split, read_id_list
from monai_lightseg.data.synthetic import SyntheticCase, synthetic_cases

__all__ = [
    "Case",
    "CrossValidation",
    "DataSet",
    "FileCase",
    "GlandAugmentation",
    "GlasCase",
    "Label",
    "ReducedCase",
    "Split",
    "SyntheticCase",
    "centre_crop",
    "check_splits",
    "core_border_labels",
    "gland_targets",
    "glas_split",
    "holds_glas",
    "install_splits",
    "random_split",
    "read_cases",
    "read_folder",
    "read_glas",
    "read_id_list",
    "read_isic2018",
    "read_labels",
    "read_mask",
    "read_rgb",
    "reduce_image",
    "reduce_labels",
    "reflect_pad",
    "synthetic_cases",
    "write_nnunet_raw",
]
