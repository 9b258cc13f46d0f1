"""Protocols: which cases train, validate and test, at which size, scored how; named JSON files with checksums."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from monai_lightseg.data.data_set import DataSet, Kind
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.splits import Folds, Split
from monai_lightseg.errors import LightsegError

__all__ = [
    "INTERPOLATION",
    "Protocol",
    "ProtocolPart",
    "check_test_ids",
    "ids_checksum",
    "list_protocols",
    "load_protocol",
    "overlap_warning",
]

_SHIPPED = Path(__file__).parent / "protocol_files"
_SPLIT_PARTS = ("train", "val", "test")
# What the writers do when they resize; a protocol that asks for something else would not be followed.
INTERPOLATION = {"image": "bilinear", "mask": "nearest"}
# Where shared cases are, by the kind of the data set that has them.
_SHARED = {
    "isic2017": "also in ISIC 2018's training part",
    "isic2018": "also in ISIC 2017",
    "folder": "both in ISIC 2017 and in ISIC 2018's training part",
}


@dataclass(frozen=True)
class ProtocolPart:
    """The cases of one part: a list of ids, or one official part of the data set.

    Attributes:
        count: how many cases.
        sha256: `ids_checksum` of the ids; None where they are not known beforehand.
        folder: the official part whose cases these are, a key of `DataSet.parts`; None where `ids` lists them.
        ids: the ids; None where they are those of `folder`.

    Raises:
        LightsegError: there are both or neither of `folder` and `ids`, or the ids do not fit count and checksum.
    """

    count: int
    sha256: str | None = None
    folder: str | None = None
    ids: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.ids is None) == (self.folder is None):
            raise LightsegError("it needs either ids or the folder that holds them")
        if self.ids is not None:
            if self.sha256 is None:
                raise LightsegError(f"it lists ids without their sha256, which is {ids_checksum(self.ids)}")
            self.check(self.ids)

    def check(self, ids: Collection[str]) -> None:
        """Check that `ids` are as many as `count` says, and have the checksum where there is one.

        Raises:
            LightsegError: they differ.
        """
        if len(ids) != self.count:
            raise LightsegError(f"it has {len(ids)} cases in place of {self.count}")
        if self.sha256 is not None and ids_checksum(ids) != self.sha256:
            raise LightsegError(f"its ids have the sha256 {ids_checksum(ids)} in place of {self.sha256}")


@dataclass(frozen=True)
class Protocol:
    """What has to be the same for two figures to compare.

    Attributes:
        name: short name, that of its file.
        title: one line.
        data_set: `DataSet.kind` of the data set it divides.
        source: where the ids come from, or how they were drawn.
        image_size: (height, width) of the images that are trained on and scored; None where they keep their sizes.
        interpolation: how images and masks come to that size; None without one.
        metric: definition of the figure.
        notes: what else bears on comparing figures.
        parts: "train", "val" and "test"; "test" alone; or "fold0", "fold1", ..., the parts that validate in turn.

    Raises:
        LightsegError: parts have other names or share a case, or size and interpolation do not go together.
    """

    name: str
    title: str
    data_set: Kind
    source: str
    image_size: tuple[int, int] | None
    interpolation: dict[str, str] | None
    metric: str
    notes: tuple[str, ...]
    parts: dict[str, ProtocolPart]

    def __post_init__(self) -> None:
        names = set(self.parts)
        if names not in (set(_SPLIT_PARTS), {"test"}) and (len(names) < 2 or names != set(self._fold_names)):
            raise LightsegError("its parts are to be train, val and test; test alone; or fold0, fold1 and so on")
        if (self.image_size is None) != (self.interpolation is None):
            raise LightsegError("image_size and interpolation are to be null together")
        listed = {name: part.ids for name, part in self.parts.items() if part.ids is not None}
        if len(listed) == len(self.parts):
            self._divide(listed)

    @property
    def is_cross_validation(self) -> bool:
        """Whether the parts are folds."""
        return "test" not in self.parts

    def ids(self, part: str) -> tuple[str, ...]:
        """Return the ids of one part, in the order of the file.

        Raises:
            LightsegError: there is no such part, or its ids are not listed but those of a folder.
        """
        if part not in self.parts:
            raise LightsegError(f"{self.name} has no part {part!r}; pass one of {', '.join(self.parts)}")
        ids = self.parts[part].ids
        if ids is None:
            folder = self.parts[part].folder
            raise LightsegError(f"{self.name} lists no ids for {part}: they are those of the official part {folder}")
        return ids

    def checksums(self) -> dict[str, str]:
        """Return `ids_checksum` by part, of the parts whose ids are known."""
        return {name: part.sha256 for name, part in self.parts.items() if part.sha256 is not None}

    def content(self) -> dict[str, Any]:
        """Return what the JSON file holds."""
        parts = {
            name: {key: value for key, value in asdict(part).items() if value is not None}
            for name, part in self.parts.items()
        }
        return asdict(self) | {"parts": parts}

    def select(self, data_set: DataSet) -> Split | Folds:
        """Divide a data set as the protocol says.

        A data set of kind "folder" may hold the images of any other kind: it does if the ids fit. Cases that the
        protocol does not name are left out.

        Raises:
            LightsegError: the data set is of another kind, lacks cases or an official part, or its official parts do
                not fit count and checksum.
        """
        if data_set.kind not in (self.data_set, "folder"):
            raise LightsegError(
                f"protocol {self.name} divides {self.data_set}, and {data_set.title} is {data_set.kind}; "
                "`lightseg data protocols` shows which protocol is for which data set"
            )
        found = {name: part.ids or self._folder_ids(name, part, data_set) for name, part in self.parts.items()}
        missing = sorted({case_id for ids in found.values() for case_id in ids} - {case.id for case in data_set.cases})
        if missing:
            raise LightsegError(
                f"{data_set.title} lacks {len(missing)} cases of {self.name}: {', '.join(first_few(missing))}; "
                "pass the whole data set, or a protocol of your own for the cases you have"
            )
        return self._divide(found)

    @property
    def _fold_names(self) -> list[str]:
        return [f"fold{number}" for number in range(len(self.parts))]

    def _divide(self, ids: dict[str, tuple[str, ...]]) -> Split | Folds:
        if self.is_cross_validation:
            return Folds(tuple(ids[name] for name in self._fold_names))
        return Split(*(ids.get(name, ()) for name in _SPLIT_PARTS))

    def _folder_ids(self, name: str, part: ProtocolPart, data_set: DataSet) -> tuple[str, ...]:
        """The cases of the official part that `part` names."""
        where = f"{name} of protocol {self.name} is the official part {part.folder}"
        if part.folder not in data_set.parts:
            there = ", ".join(data_set.parts) or "none"
            raise LightsegError(f"{where}; of these parts {data_set.title} has {there}: unpack the missing ones there")
        ids = data_set.parts[part.folder]
        try:
            part.check(ids)
        except LightsegError as error:
            raise LightsegError(f"{where}, and in {data_set.title} {error}; unpack the whole part") from error
        return ids


def ids_checksum(ids: Iterable[str]) -> str:
    """Return the SHA-256 of the sorted ids, a line each, as `LC_ALL=C sort ids.txt | sha256sum` prints it."""
    return hashlib.sha256("".join(f"{case_id}\n" for case_id in sorted(ids)).encode()).hexdigest()


def list_protocols() -> list[str]:
    """Names of the protocols that come with the package, sorted."""
    return sorted(path.stem for path in _SHIPPED.glob("*.json"))


def load_protocol(name: str | Path) -> Protocol:
    """Read a protocol.

    Args:
        name: one of `list_protocols()`; or a JSON file of the same form, as a path or a text that ends in .json.

    Raises:
        LightsegError: there is no such protocol, the file cannot be read or has a fault, or it has the name of a
            protocol of the package and is another one.
    """
    if isinstance(name, str) and not name.endswith(".json"):
        path = _SHIPPED / f"{name}.json"
        if name not in list_protocols():
            nearest = get_close_matches(name, list_protocols(), 1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(list_protocols())}"
            raise LightsegError(f"no protocol is called {name!r}; {hint}")
    else:
        path = Path(name)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise LightsegError(f"{path} cannot be read as JSON ({error}); pass a protocol file") from error
    try:
        protocol = _protocol(content)
    except LightsegError as error:
        raise LightsegError(f"{path}: {error}") from error
    if path.parent != _SHIPPED and protocol.name in list_protocols() and protocol != load_protocol(protocol.name):
        raise LightsegError(f"{path} is called {protocol.name} and is not that protocol; give it another name")
    return protocol


def check_test_ids(protocol: Protocol, ids: Collection[str]) -> str:
    """Check that `ids` are the cases that the protocol tests on, no more and no fewer.

    For a cross-validation they are one fold, or all folds. Where the protocol names a folder in place of ids, their
    number has to fit, and the checksum if there is one.

    Args:
        protocol: the protocol.
        ids: cases that were predicted.

    Returns:
        What they are: "test", "fold0", ..., or "all folds".

    Raises:
        LightsegError: they are something else; the message names what is missing and what is too much.
    """
    predicted = set(ids)
    if not protocol.is_cross_validation and protocol.parts["test"].ids is None:
        try:
            protocol.parts["test"].check(predicted)
        except LightsegError as error:
            raise LightsegError(f"these are not the cases of test in protocol {protocol.name}: {error}") from error
        return "test"
    if protocol.is_cross_validation:
        wanted = {name: set(protocol.ids(name)) for name in protocol.parts}
        wanted["all folds"] = set().union(*wanted.values())
    else:
        wanted = {"test": set(protocol.ids("test"))}
    nearest = min(wanted, key=lambda name: len(wanted[name] ^ predicted))
    faults = [
        f"{len(wrong)} {word} ({', '.join(first_few(sorted(wrong)))})"
        for word, wrong in (("missing", wanted[nearest] - predicted), ("too many", predicted - wanted[nearest]))
        if wrong
    ]
    if faults:
        raise LightsegError(
            f"these are not the cases of {nearest} in protocol {protocol.name}: {', '.join(faults)}; "
            "predict and score exactly its cases"
        )
    return nearest


def overlap_warning(data_set: DataSet) -> str | None:
    """Say how many cases of ISIC 2017 or ISIC 2018 are in the other year too, by official part of ISIC 2017.

    Cases count as the same by their ids. Of ISIC 2018 the training part is known, of ISIC 2017 all three. A plain
    folder counts as well, as it may hold either year.

    Returns:
        One sentence; None where the data set is another one or shares no case.
    """
    if data_set.kind not in _SHARED:
        return None
    shared = {case.id for case in data_set.cases}
    official = load_protocol("isic2017-official")
    if data_set.kind != "isic2018":
        other = load_protocol("isic2018-random42")
        shared &= {case_id for part in other.parts for case_id in other.ids(part)}
    counts = {part: len(shared.intersection(official.ids(part))) for part in official.parts}
    if not any(counts.values()):
        return None
    by_part = ", ".join(f"{count} of {part}" for part, count in counts.items())
    return (
        f"at least {sum(counts.values())} of these {len(data_set.cases)} cases are, by id, {_SHARED[data_set.kind]} "
        f"(by official part of ISIC 2017: {by_part}); never train on one year and test on the other"
    )


def _protocol(content: Any) -> Protocol:
    fields = _checked(content, _PROTOCOL_KEYS)
    size = fields["image_size"]
    return Protocol(
        **fields
        | {
            "image_size": None if size is None else tuple(size),
            "notes": tuple(fields["notes"]),
            "parts": {name: _part(name, part) for name, part in fields["parts"].items()},
        }
    )


def _part(name: str, content: Any) -> ProtocolPart:
    try:
        fields = _checked(content, _PART_KEYS, optional=("sha256", "folder", "ids"))
        return ProtocolPart(**fields | ({"ids": tuple(fields["ids"])} if "ids" in fields else {}))
    except LightsegError as error:
        raise LightsegError(f"part {name}: {error}") from error


_Keys = dict[str, tuple[Callable[[Any], bool], str]]


def _checked(content: Any, keys: _Keys, optional: Collection[str] = ()) -> dict[str, Any]:
    """`content`, if it is an object with these keys and each value is what its key asks for."""
    if not isinstance(content, dict):
        raise LightsegError("it is to be an object in braces")
    named = [f"lacks {key}" for key in keys if key not in content and key not in optional]
    named += [f"does not know {key}" for key in content if key not in keys]
    if named:
        raise LightsegError(f"it {' and '.join(named)}; its keys are {', '.join(keys)}")
    for key, (fits, wanted) in keys.items():
        if key in content and not fits(content[key]):
            raise LightsegError(f"{key} is to be {wanted}")
    return content


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_size(value: Any) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(map(_is_count, value)))


_TEXT = (_is_text, "a text")
_PROTOCOL_KEYS: _Keys = {
    "name": _TEXT,
    "title": _TEXT,
    "data_set": (lambda value: value in get_args(Kind), f"one of {', '.join(get_args(Kind))}"),
    "source": _TEXT,
    "image_size": (_is_size, "[height, width] or null"),
    "interpolation": (lambda value: value in (INTERPOLATION, None), f"{json.dumps(INTERPOLATION)} or null"),
    "metric": _TEXT,
    "notes": (_are_texts, "a list of texts"),
    "parts": (lambda value: isinstance(value, dict), "an object in braces"),
}
_PART_KEYS: _Keys = {
    "count": (_is_count, "a whole number above 0"),
    "sha256": _TEXT,
    "folder": _TEXT,
    "ids": (_are_texts, "a list of texts"),
}
