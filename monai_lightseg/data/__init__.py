"""Cases of an RGB image and a lesion mask: read from disk, drawn, divided, and written for nnU-Net."""

from monai_lightseg.data.cases import Case, FileCase
from monai_lightseg.data.detect import read_cases
from monai_lightseg.data.folder import read_folder
from monai_lightseg.data.images import read_mask, read_rgb
from monai_lightseg.data.isic import read_isic2018
from monai_lightseg.data.nnunet_raw import write_nnunet_raw
from monai_lightseg.data.nnunet_splits import check_splits, install_splits
from monai_lightseg.data.splits import Split, random_split, read_id_list
from monai_lightseg.data.synthetic import SyntheticCase, synthetic_cases

__all__ = [
    "Case",
    "FileCase",
    "Split",
    "SyntheticCase",
    "check_splits",
    "install_splits",
    "random_split",
    "read_cases",
    "read_folder",
    "read_id_list",
    "read_isic2018",
    "read_mask",
    "read_rgb",
    "synthetic_cases",
    "write_nnunet_raw",
]
