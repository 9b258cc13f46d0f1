"""GlaS, colon glands in 165 images, with the file names the challenge published it under."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.label_images import read_labels
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.pairs import list_files, pair_files
from monai_lightseg.data.protocols import load_protocol
from monai_lightseg.data.splits import Split
from monai_lightseg.errors import LightsegError

__all__ = ["GlasCase", "glas_split", "holds_glas", "read_glas"]

_FILE_SUFFIXES = frozenset({".bmp", ".png", ".jpg", ".jpeg"})
_ANNOTATION = "_anno"
_PARTS = ("train", "testA", "testB")
_STEM = re.compile(rf"({'|'.join(_PARTS)})_([1-9][0-9]*)({_ANNOTATION})?")
_GRADES = ("benign", "malignant")
_GRADE_COLUMNS = ("grade", "grade (glas)")


@dataclass(frozen=True)
class GlasCase(FileCase):
    """One GlaS image with its annotation, an image of instance labels.

    Attributes:
        part: "train", "testA" or "testB".
        grade: "benign" or "malignant"; None where the folder has no Grade.csv.
        patient: the patient's number; None where the folder has no Grade.csv or that has no such column.
    """

    part: str
    grade: str | None = None
    patient: str | None = None

    def read_label(self) -> NDArray[np.int32]:
        """Read the labels, int32 (height, width): 0 is background, every other number one gland; see `read_labels`."""
        return read_labels(self.mask_path)


def holds_glas(folder: Path) -> bool:
    """Whether a picture in `folder` has a name as in GlaS."""
    return folder.is_dir() and any(
        _STEM.fullmatch(path.stem) and path.suffix.lower() in _FILE_SUFFIXES for path in folder.iterdir()
    )


def read_glas(folder: Path) -> list[GlasCase]:
    """List the cases of a GlaS folder; no pixel is read.

    Images are called train_N, testA_N or testB_N, and their annotations the same with `_anno`; both end in bmp, png,
    jpg or jpeg. The folder may hold any number of them. Where there is a Grade.csv, it names the grade of every image.

    Args:
        folder: the unpacked "Warwick QU Dataset (Released 2016_07_08)", or a copy of it in another format.

    Returns:
        The cases: training, test A, test B, each in the order of its numbers.

    Raises:
        LightsegError: there is no such image, a picture has another name, images and annotations do not pair up, or
            Grade.csv cannot be read or lacks an image.
    """
    pictures = list_files(folder, _FILE_SUFFIXES) if folder.is_dir() else []
    if not pictures:
        raise LightsegError(f"{folder} holds no bmp, png or jpg file; pass the folder with the images of GlaS")
    unknown = [str(path) for path in pictures if not _STEM.fullmatch(path.stem)]
    if unknown:
        raise LightsegError(
            f"not named as in GlaS: {', '.join(first_few(unknown))}; images are train_N, testA_N or testB_N, "
            f"annotations the same with {_ANNOTATION}: rename or remove the others"
        )
    annotations = [path for path in pictures if path.stem.endswith(_ANNOTATION)]
    pairs = pair_files(set(pictures) - set(annotations), annotations, [_ANNOTATION])
    grades = _read_grades(folder / "Grade.csv", [pair.id for pair in pairs])
    return [_case(pair, *grades.get(pair.id, (None, None))) for pair in sorted(pairs, key=_natural_order)]


def glas_split(cases: Sequence[GlasCase]) -> Split:
    """Divide GlaS as the paper does: 75 train, 10 validate, tests A and B test.

    The paper is Pinckaers & Litjens, 2019, arXiv 1910.10470. The ten are train_25, 35, 51, 54, 55, 58,
    64, 68, 74 and 79. The other training images train.

    Raises:
        LightsegError: some of the ten are not among the cases.
    """
    ids = [case.id for case in cases]
    val = load_protocol("glas-official").ids("val")
    missing = sorted(set(val) - set(ids))
    if missing:
        raise LightsegError(
            f"validation images of the GlaS paper are missing: {', '.join(first_few(missing))}; "
            "add them or give lists of ids that train, validate and test"
        )
    train = [case.id for case in cases if case.part == "train" and case.id not in val]
    return Split(tuple(train), val, tuple(case.id for case in cases if case.part != "train"))


def _natural_order(pair: FileCase) -> tuple[int, int]:
    part, number = pair.id.split("_")
    return _PARTS.index(part), int(number)


def _case(pair: FileCase, grade: str | None, patient: str | None) -> GlasCase:
    return GlasCase(pair.id, pair.image_path, pair.mask_path, pair.id.split("_")[0], grade, patient)


def _read_grades(path: Path, ids: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Return grade and patient by image; nothing where there is no such file."""
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header, *rows = [[cell.strip() for cell in row] for row in csv.reader(stream) if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        raise LightsegError(f"{path} cannot be read as a table ({error}); unpack it again or remove it") from error
    columns = [name.lower() for name in header]
    grade_column = next((name for name in _GRADE_COLUMNS if name in columns), None)
    if grade_column is None or "name" not in columns:
        raise LightsegError(f"{path} has the columns {', '.join(header)}; it needs name and grade")
    grades: dict[str, tuple[str, str | None]] = {}
    for row in rows:
        cells = dict(zip(columns, row, strict=False))
        name, grade = cells["name"], cells.get(grade_column)
        if grade not in _GRADES:
            raise LightsegError(f"{path} gives {name} the grade {grade!r}; a grade is {' or '.join(_GRADES)}")
        if name in grades:
            raise LightsegError(f"{path} names {name} twice; keep one line")
        grades[name] = grade, cells.get("patient id")
    ungraded = [name for name in ids if name not in grades]
    if ungraded:
        raise LightsegError(f"{path} has no line for {', '.join(first_few(ungraded))}; add them or remove the file")
    return grades
