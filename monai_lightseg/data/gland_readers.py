"""GlaS as MONAI's data sets and `LoadImage` take it."""

from pathlib import Path

from monai.utils import look_up_option

from monai_lightseg.data.glas import glas_split, read_glas
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.data.monai_readers import PictureReader

__all__ = ["LabelsReader", "glands_in"]


class LabelsReader(PictureReader):
    """Instance labels, (height, width), by the rules of `read_labels`."""

    read_pixels = staticmethod(read_labels)
    channel_dim = float("nan")


def glands_in(folder: str, part: str) -> list[dict[str, str]]:
    """The images of one part of GlaS, divided by `glas_split`, with their annotations.

    Args:
        folder: the folder of GlaS, see `read_glas`.
        part: "training", "validation" or "test"; or "testA" or "testB", each one part of "test".

    Returns:
        One {"image": path, "label": path} for each image.

    Raises:
        LightsegError: the folder cannot be read as GlaS, or lacks images that validate.
        ValueError: unknown part.
    """
    cases = {case.id: case for case in read_glas(Path(folder))}
    split = glas_split(list(cases.values()))
    parts = {"training": split.train, "validation": split.val, "test": split.test}
    for name in ("testA", "testB"):
        parts[name] = tuple(case_id for case_id in split.test if cases[case_id].part == name)
    ids = parts[look_up_option(part, parts.keys())]
    return [{"image": str(cases[case_id].image_path), "label": str(cases[case_id].mask_path)} for case_id in ids]
