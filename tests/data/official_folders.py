"""Empty files in the layouts of the official downloads."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from monai_lightseg.errors import LightsegError

ISIC2018 = {
    part: (f"ISIC2018_Task1-2_{part}_Input", f"ISIC2018_Task1_{part}_GroundTruth")
    for part in ("Training", "Validation", "Test")
}
ISIC2017 = {
    "Training": ("ISIC-2017_Training_Data", "ISIC-2017_Training_Part1_GroundTruth"),
    "Validation": ("ISIC-2017_Validation_Data", "ISIC-2017_Validation_Part1_GroundTruth"),
    "Test": ("ISIC-2017_Test_v2_Data", "ISIC-2017_Test_v2_Part1_GroundTruth"),
}


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def error_of(reader, *arguments) -> str:
    with pytest.raises(LightsegError) as caught:
        reader(*arguments)
    return str(caught.value)


def write_isic(folder: Path, names: tuple[str, str], images: Sequence[str], masks: Sequence[str] | None = None) -> Path:
    """Write one part; licences, tables and superpixels lie beside the images and masks, as in the downloads."""
    masks = images if masks is None else masks
    touch(folder / names[0], *(f"{name}.jpg" for name in images), *(f"{name}_superpixels.png" for name in images))
    touch(folder / names[0], "ISIC-2017_metadata.csv", "ATTRIBUTION.txt", "LICENSE.txt")
    touch(folder / names[1], *(f"{name}_segmentation.png" for name in masks), "LICENSE.txt")
    touch(folder / names[1], *(f"{name}_superpixels.png" for name in masks))
    return folder


def write_ph2(top: Path, names: Sequence[str], listed: str | None = None) -> Path:
    """Write PH2Dataset with the cases `names`; `listed` is what PH2_dataset.txt says."""
    for name in names:
        case = top / "PH2 Dataset images" / name
        touch(
            case,
            f"{name}_Dermoscopic_Image/{name}.bmp",
            f"{name}_lesion/{name}_lesion.bmp",
            f"{name}_roi/{name}_R1.bmp",
        )
    touch(top, "PH2_dataset.xlsx", "Readme.txt", "PH2 Dataset images/Thumbs.db", "PH2 Dataset images/.DS_Store")
    if listed is not None:
        (top / "PH2_dataset.txt").write_text(listed)
    return top
