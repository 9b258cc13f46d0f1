"""What a data set holds, from one pass over all its files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from tqdm import tqdm

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.data_set import DataSet
from monai_lightseg.data.images import WORKERS
from monai_lightseg.data.medical_images import MEDICAL_SUFFIXES, file_suffix
from monai_lightseg.data.near_duplicates import (
    SIMILARITY,
    DuplicateGroup,
    check_similarity,
    find_near_duplicates,
    groups_across,
    image_signature,
)
from monai_lightseg.data.protocols import Protocol, list_protocols, load_protocol, overlap_warning
from monai_lightseg.data.splits import Folds, Split
from monai_lightseg.errors import LightsegError

__all__ = ["InspectedCase", "Inspection", "inspect_data_set"]

_UPRIGHT = 1


@dataclass(frozen=True)
class InspectedCase:
    """What one case holds; both its files could be read.

    Attributes:
        id: the case.
        image_size: (height, width) of the image.
        label_size: (height, width) of the mask or labels.
        image_format: format and colour mode of the image file, such as "JPEG RGB", and whether EXIF turns it; of
            medical formats the suffix.
        label_format: the same of the file of the mask or labels.
        foreground: share of the label's pixels that are marked, 0 to 1.
        objects: how many objects are marked, a number each; None for a mask.
    """

    id: str
    image_size: tuple[int, int]
    label_size: tuple[int, int]
    image_format: str
    label_format: str
    foreground: float
    objects: int | None


@dataclass(frozen=True)
class Inspection:
    """What a data set holds.

    Attributes:
        data_set: the data set.
        cases: what was found of each case whose files could both be read, in the order of the data set.
        errors: why files could not be read, a line per file, all of them.
        near_duplicates: images that show nearly the same, most similar first.
        protocols: the protocols that fit the data set, by name, with how they divide it.
        misfits: the protocols for data sets of this kind that do not fit, by name, with the reason.
    """

    data_set: DataSet
    cases: tuple[InspectedCase, ...]
    errors: tuple[str, ...]
    near_duplicates: tuple[DuplicateGroup, ...]
    protocols: dict[str, Split | Folds]
    misfits: dict[str, str]

    def summary(self) -> dict[str, Any]:
        """Return the whole in plain values, as JSON has them; sizes are HEIGHTxWIDTH, the most common first."""
        sizes = Counter(case.image_size for case in self.cases)
        content: dict[str, Any] = {
            "kind": self.data_set.kind,
            "title": self.data_set.title,
            "cases": len(self.data_set.cases),
            "cases_read": len(self.cases),
            "parts": {name: len(ids) for name, ids in self.data_set.parts.items()},
            "image_sizes": {_size_text(size): count for size, count in sizes.most_common()},
            "smallest_image": _size_text(min(sizes, key=_area)) if sizes else None,
            "largest_image": _size_text(max(sizes, key=_area)) if sizes else None,
            "label_of_another_size": [case.id for case in self.cases if case.image_size != case.label_size],
            "image_formats": dict(Counter(case.image_format for case in self.cases).most_common()),
            "label_formats": dict(Counter(case.label_format for case in self.cases).most_common()),
            "foreground": self.data_set.foreground,
            "foreground_share": _distribution({case.id: case.foreground for case in self.cases}),
            "empty": [case.id for case in self.cases if case.foreground == 0],
            "full": [case.id for case in self.cases if case.foreground == 1],
            "objects": _distribution({case.id: case.objects for case in self.cases if case.objects is not None}),
            "near_duplicates": [_plain(group) for group in self.near_duplicates],
            "near_duplicates_across_parts": self._across(self.data_set.parts),
            "protocols": {},
            "misfits": self.misfits,
            "overlap": overlap_warning(self.data_set),
            "errors": list(self.errors),
        }
        for name, split in self.protocols.items():
            parts = {part: ids for part, ids in split.named_parts.items() if ids}
            content["protocols"][name] = {
                "cases": {part: len(ids) for part, ids in parts.items()},
                "near_duplicates_across_parts": self._across(parts),
            }
        return content

    @property
    def readable(self) -> list[FileCase]:
        """The cases whose files could both be read."""
        read = {case.id for case in self.cases}
        return [case for case in self.data_set.cases if case.id in read]

    def duplicate_cases(self, limit: int) -> tuple[list[FileCase], list[str]]:
        """Return at most `limit` readable near-duplicates, most similar first, each with a caption: group and id."""
        readable = {case.id: case for case in self.readable}
        numbered = [(number, name) for number, group in enumerate(self.near_duplicates, 1) for name in group.ids]
        shown = [(number, name) for number, name in numbered if name in readable][:limit]
        return [readable[name] for _, name in shown], [f"{number}: {name}" for number, name in shown]

    def _across(self, parts: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        return [_plain(group) | {"parts": list(places)} for group, places in groups_across(self.near_duplicates, parts)]


def inspect_data_set(
    data_set: DataSet,
    *,
    protocol: Protocol | None = None,
    similarity: float = SIMILARITY,
    progress: bool = True,
    workers: int = WORKERS,
) -> Inspection:
    """Read every file of a data set once and say what is there; files that cannot be read do not stop it.

    Args:
        data_set: the data set.
        protocol: the protocol whose parts near-duplicates should not cross; None takes all of the package that fit.
        similarity: what makes two images near-duplicates, see `find_near_duplicates`.
        progress: show a progress bar on stderr.
        workers: threads that read, 1 or more.

    Raises:
        LightsegError: `protocol` does not fit the data set.
        ValueError: `similarity` or `workers` is out of range.
    """
    check_similarity(similarity)
    protocols, misfits = _tried(data_set) if protocol is None else ({protocol.name: protocol.select(data_set)}, {})
    cases = data_set.cases
    with ThreadPoolExecutor(workers) as pool:
        looks = partial(_look_at, objects=data_set.objects)
        bar = tqdm(pool.map(looks, cases), total=len(cases), desc="inspect", unit="case", disable=not progress)
        found = list(bar)
    seen = {case.id: look.signature for case, look in zip(cases, found, strict=True) if look.signature is not None}
    return Inspection(
        data_set,
        tuple(look.case for look in found if look.case is not None),
        tuple(error for look in found for error in look.errors),
        find_near_duplicates(seen, similarity=similarity),
        protocols,
        misfits,
    )


@dataclass(frozen=True)
class _Look:
    """What came of reading one case: the signature of its image, and the case if the label could be read too."""

    errors: tuple[str, ...]
    signature: NDArray[np.float32] | None
    case: InspectedCase | None


def _look_at(case: FileCase, objects: bool) -> _Look:
    errors, image, label = [], None, None
    try:
        image = case.read_image()
    except LightsegError as error:
        errors.append(str(error))
    try:
        label = case.read_label()
    except LightsegError as error:
        errors.append(str(error))
    signature = None if image is None else image_signature(image)
    if image is None or label is None:
        return _Look(tuple(errors), signature, None)
    inspected = InspectedCase(
        case.id,
        (image.shape[0], image.shape[1]),
        (label.shape[0], label.shape[1]),
        _file_format(case.image_path),
        _file_format(case.mask_path),
        float(np.count_nonzero(label) / label.size),
        len(np.setdiff1d(label, [0])) if objects else None,
    )
    return _Look((), signature, inspected)


def _file_format(path: Path) -> str:
    """Format and mode of a file that could be read, from its header."""
    if file_suffix(path) in MEDICAL_SUFFIXES:
        return file_suffix(path).removeprefix(".")
    with Image.open(path) as header:
        turned = header.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT
        return f"{header.format} {header.mode}" + (", turned by EXIF" if turned else "")


def _tried(data_set: DataSet) -> tuple[dict[str, Split | Folds], dict[str, str]]:
    """The protocols of the package that fit, and why others for the same kind of data set do not."""
    fitting, misfits = {}, {}
    for name in list_protocols():
        protocol = load_protocol(name)
        try:
            fitting[name] = protocol.select(data_set)
        except LightsegError as error:
            if protocol.data_set == data_set.kind:
                misfits[name] = str(error)
    return fitting, misfits


def _distribution(values: Mapping[str, float]) -> dict[str, Any] | None:
    """How values by case are spread; None where there are none."""
    if not values:
        return None
    numbers = np.array(list(values.values()), dtype=float)
    low, median, high = np.percentile(numbers, [5, 50, 95]).tolist()
    smallest, largest = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    return {
        "mean": float(numbers.mean()),
        "median": median,
        "percentile_5": low,
        "percentile_95": high,
        "smallest": values[smallest],
        "smallest_id": smallest,
        "largest": values[largest],
        "largest_id": largest,
    }


def _plain(group: DuplicateGroup) -> dict[str, Any]:
    return asdict(group) | {"ids": list(group.ids)}


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
