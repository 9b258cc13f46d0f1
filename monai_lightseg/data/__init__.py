"""Cases of an image and a mask or labels: read, drawn, inspected, divided, changed, written for nnU-Net and MONAI."""

from monai_lightseg.data.cases import Case, FileCase, Label
from monai_lightseg.data.contact_sheet import contact_sheet, draw_cases, write_contact_sheet
from monai_lightseg.data.conversion import Conversion
from monai_lightseg.data.data_set import DataSet
from monai_lightseg.data.datalist import write_datalist
from monai_lightseg.data.detect import read_data_set
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
from monai_lightseg.data.images import PICTURE_SUFFIXES, picture_stem, read_mask, read_rgb
from monai_lightseg.data.inspection import InspectedCase, Inspection, inspect_data_set
from monai_lightseg.data.inspection_report import inspection_report
from monai_lightseg.data.isic import read_isic2017, read_isic2018
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.data.near_duplicates import (
    DuplicateGroup,
    find_near_duplicates,
    groups_across,
    image_signature,
)
from monai_lightseg.data.nnunet_raw import write_nnunet_raw
from monai_lightseg.data.nnunet_splits import check_splits, install_splits
from monai_lightseg.data.ph2 import ph2_ids, read_ph2
from monai_lightseg.data.protocols import (
    Protocol,
    ProtocolPart,
    check_test_ids,
    ids_checksum,
    list_protocols,
    load_protocol,
    overlap_warning,
)
from monai_lightseg.data.splits import Folds, Split, random_split, read_id_list
from monai_lightseg.data.synthetic import SyntheticCase, synthetic_cases

__all__ = [
    "PICTURE_SUFFIXES",
    "Case",
    "Conversion",
    "DataSet",
    "DuplicateGroup",
    "FileCase",
    "Folds",
    "GlandAugmentation",
    "GlasCase",
    "InspectedCase",
    "Inspection",
    "Label",
    "Protocol",
    "ProtocolPart",
    "ReducedCase",
    "Split",
    "SyntheticCase",
    "centre_crop",
    "check_splits",
    "check_test_ids",
    "contact_sheet",
    "core_border_labels",
    "draw_cases",
    "find_near_duplicates",
    "gland_targets",
    "glas_split",
    "groups_across",
    "holds_glas",
    "ids_checksum",
    "image_signature",
    "inspect_data_set",
    "inspection_report",
    "install_splits",
    "list_protocols",
    "load_protocol",
    "overlap_warning",
    "ph2_ids",
    "picture_stem",
    "random_split",
    "read_data_set",
    "read_folder",
    "read_glas",
    "read_id_list",
    "read_isic2017",
    "read_isic2018",
    "read_labels",
    "read_mask",
    "read_ph2",
    "read_rgb",
    "reduce_image",
    "reduce_labels",
    "reflect_pad",
    "synthetic_cases",
    "write_contact_sheet",
    "write_datalist",
    "write_nnunet_raw",
]
