"""How many channels nnU-Net's reader of 2D pictures finds in the training files, told from their headers alone.

nnU-Net's own check takes labels of several channels for good as long as every channel holds label values.
"""

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from monai_lightseg.errors import LightsegError

__all__ = ["TrainingFiles", "count_channels", "training_files"]

PICTURES = frozenset({".png", ".bmp", ".tif"})
DATASET_FILE = "dataset.json"


@dataclass(frozen=True)
class TrainingFiles:
    """The pictures of a raw dataset that nnU-Net trains on.

    Attributes:
        labels: one file per case.
        images: the files of each case, one or more.
        channels: as many as `channel_names` in dataset.json has.
    """

    labels: list[Path]
    images: list[list[Path]]
    channels: int

    def wrong_labels(self) -> list[str]:
        """The labels that have not one channel, as `a.png (3 channels)`."""
        return _wrong([[path] for path in self.labels], 1)

    def wrong_images(self) -> list[str]:
        """The images of the cases that have not as many channels as they should, as `a_0000.png (4 channels)`."""
        return _wrong(self.images, self.channels)


def training_files(raw_dataset: Path) -> TrainingFiles | None:
    """What dataset.json says of the training files; None where there is none, or where they are no pictures.

    Raises:
        LightsegError: dataset.json is damaged.
    """
    path = raw_dataset / DATASET_FILE
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        ending, channels = content["file_ending"], len(content["channel_names"])
        if ending not in PICTURES:
            return None
        if "dataset" in content:
            cases = content["dataset"].values()
            labels = [_named(raw_dataset, case["label"]) for case in cases]
            return TrainingFiles(
                labels, [[_named(raw_dataset, name) for name in case["images"]] for case in cases], channels
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LightsegError(f"{path} is no dataset.json of nnU-Net ({error!r}): write the dataset again") from error
    return TrainingFiles(
        sorted((raw_dataset / "labelsTr").glob(f"*{ending}")), _by_case(raw_dataset / "imagesTr", ending), channels
    )


def count_channels(path: Path) -> int | None:
    """Channels of the picture as nnU-Net reads it; None where Pillow cannot tell, which nnU-Net's own check then meets.

    A palette is looked up, which makes three channels, but not that of a TIFF, which is read as the numbers it holds.
    """
    try:
        with Image.open(path) as image:
            return 3 if image.mode == "P" and image.format != "TIFF" else len(image.getbands())
    except (OSError, Image.DecompressionBombError):
        return None


def _by_case(folder: Path, ending: str) -> list[list[Path]]:
    """The files CASE_0000.png, CASE_0001.png, ... of each case."""
    cases = defaultdict(list)
    for path in sorted(folder.glob(f"*{ending}")):
        cases[path.name[: -len(f"_0000{ending}")]].append(path)
    return list(cases.values())


def _named(raw_dataset: Path, name: Any) -> Path:
    """A file that dataset.json names, with nnU-Net's reading of variables and relative paths."""
    return raw_dataset / os.path.expandvars(name)


def _wrong(cases: list[list[Path]], expected: int) -> list[str]:
    wrong = []
    for paths in cases:
        counts = [count_channels(path) for path in paths]
        total = sum(count or 0 for count in counts)
        if None not in counts and total != expected:
            wrong.append(f"{' + '.join(str(path) for path in paths)} ({total} channels)")
    return wrong
