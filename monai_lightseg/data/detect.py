"""The right reader for a folder, by what is in it."""

from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.folder import read_folder
from monai_lightseg.data.glas import holds_glas
from monai_lightseg.data.isic import isic2018_folders, read_isic2018
from monai_lightseg.errors import LightsegError

__all__ = ["read_cases"]


def read_cases(folder: Path) -> list[FileCase]:
    """List the cases of a folder with masks: ISIC 2018 (training part), or images and masks, by the first names found.

    Returns:
        The cases in the order of their reader.

    Raises:
        LightsegError: no layout is there, or the one found is incomplete; or the folder holds GlaS, whose glands are
            objects, see `read_glas`.
    """
    isic_folders = isic2018_folders(folder, "Training")
    if any(path.is_dir() for path in isic_folders):
        return read_isic2018(folder)
    if any((folder / name).is_dir() for name in ("images", "masks")):
        return read_folder(folder)
    if holds_glas(folder):
        raise LightsegError(
            f"{folder} holds GlaS, whose glands are objects, not one mask: write it for nnU-Net with "
            "`lightseg data convert`, or read it with monai_lightseg.data.read_glas"
        )
    looked_for = " and ".join(path.name for path in isic_folders)
    raise LightsegError(
        f"{folder} holds neither {looked_for}, nor images and masks; pass a folder with one of these "
        "(`lightseg data convert` also takes GlaS, images such as train_1.bmp)"
    )
