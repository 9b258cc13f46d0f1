"""Which cases train, validate and test."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_lightseg.data.listing import first_few
from monai_lightseg.errors import LightsegError

__all__ = ["Folds", "Split", "random_split", "read_id_list"]


@dataclass(frozen=True)
class Split:
    """The case ids of the three parts.

    Raises:
        LightsegError: an id is there twice, one of `train` and `val` is empty and the other is not, or all are. With
            both empty the cases only test, as those of an external data set.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        for name, part, other in (("train", self.train, self.val), ("val", self.val, self.train)):
            if not part and (other or not self.test):
                raise LightsegError(f"the split has no {name} case; give it at least one")
        _refuse_repeated((*self.train, *self.val, *self.test), "the split")

    @property
    def folds(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """The one pair of cases that train and cases that validate; none where all cases test."""
        return ((self.train, self.val),) if self.train else ()

    @property
    def named_parts(self) -> dict[str, tuple[str, ...]]:
        """The parts by their names, empty ones too."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def ids(self) -> tuple[str, ...]:
        """All cases: those that train, validate and test."""
        return (*self.train, *self.val, *self.test)

    def check(self, ids: Collection[str]) -> None:
        """Check that every case of the split is among `ids`; `ids` may hold more.

        Raises:
            LightsegError: some are not; the message names the first 5.
        """
        _refuse_missing(self.ids, ids)

    def limited(
        self, *, train: int | None = None, val: int | None = None, test: int | None = None, seed: int = 42
    ) -> "Split":
        """At most so many cases of each part, drawn by a seeded permutation of its sorted ids; None keeps them all."""
        return Split(_drawn(self.train, train, seed), _drawn(self.val, val, seed), _drawn(self.test, test, seed))


@dataclass(frozen=True)
class Folds:
    """Case ids divided into parts, each of which validates once while the others train; no case only tests.

    Raises:
        LightsegError: there are fewer than 2 parts, one is empty, or an id is there twice.
    """

    parts: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2 or not all(self.parts):
            raise LightsegError("a cross-validation needs two or more parts, and a case in each")
        _refuse_repeated(self.ids, "the cross-validation")

    @property
    def folds(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """Per fold, the cases that train and the cases that validate."""
        return tuple((tuple(sorted(set(self.ids) - set(part))), part) for part in self.parts)

    @property
    def named_parts(self) -> dict[str, tuple[str, ...]]:
        """The parts as "fold0", "fold1", ..., the fold in which each validates."""
        return {f"fold{number}": part for number, part in enumerate(self.parts)}

    @property
    def ids(self) -> tuple[str, ...]:
        """All cases."""
        return tuple(case_id for part in self.parts for case_id in part)

    @property
    def test(self) -> tuple[str, ...]:
        """None: every case validates in one fold."""
        return ()

    def check(self, ids: Collection[str]) -> None:
        """Check that every case is among `ids`; `ids` may hold more.

        Raises:
            LightsegError: some are not; the message names the first 5.
        """
        _refuse_missing(self.ids, ids)


def random_split(ids: Iterable[str], *, val: float = 0.15, test: float = 0.2, seed: int = 42) -> Split:
    """Divide the ids at random; the order they come in does not matter.

    Args:
        ids: at least 3 different case ids.
        val: share of the cases that validate, or their number where it is 1 or more.
        test: share or number of the cases that test; what is left of both trains.
        seed: seed of the permutation, 0 or more.

    Returns:
        Three sorted parts with at least one case each.

    Raises:
        LightsegError: fewer than 3 ids, an id twice, shares that leave nothing to train on, or a negative seed.
    """
    ordered = sorted(ids)
    _refuse_repeated(ordered, "ids")
    if len(ordered) < 3:
        raise LightsegError(f"ids holds {len(ordered)} cases; a split needs at least 3")
    if not (val > 0 and test > 0 and (val >= 1 or test >= 1 or val + test < 1)):
        raise LightsegError(f"val={val} and test={test} do not divide the cases; both are above 0, shares sum below 1")
    val_count, test_count = (int(part) if part >= 1 else max(1, round(len(ordered) * part)) for part in (val, test))
    if max(val, test) >= 1 and val_count + test_count >= len(ordered):
        raise LightsegError(f"val={val} and test={test} leave none of {len(ordered)} cases to train on")
    if seed < 0:
        raise LightsegError(f"seed is {seed}; pass 0 or more")
    count = len(ordered)
    test_count = min(test_count, count - 2)
    val_count = min(val_count, count - test_count - 1)
    shuffled = [ordered[place] for place in np.random.default_rng(seed).permutation(count)]
    return Split(
        train=tuple(sorted(shuffled[: count - val_count - test_count])),
        val=tuple(sorted(shuffled[count - val_count - test_count : count - test_count])),
        test=tuple(sorted(shuffled[count - test_count :])),
    )


def read_id_list(path: Path) -> tuple[str, ...]:
    """Read case ids from a UTF-8 text file, one per line; blank lines and spaces around an id are dropped.

    Raises:
        LightsegError: the file cannot be read, holds no id, or holds one twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LightsegError(f"{path} cannot be read as a list of ids ({error}); pass a UTF-8 text file") from error
    ids = tuple(line.strip() for line in lines if line.strip())
    if not ids:
        raise LightsegError(f"{path} holds no id; write one case id per line")
    _refuse_repeated(ids, str(path))
    return ids


def _refuse_missing(wanted: Iterable[str], ids: Collection[str]) -> None:
    missing = sorted(set(wanted) - set(ids))
    if missing:
        named = ", ".join(first_few(missing))
        files = any(Path(name).stem in ids for name in missing)
        remedy = "ids have no file ending" if files else "use a split of these cases"
        raise LightsegError(f"the split names cases that are not there: {named}; {remedy}")


def _refuse_repeated(ids: Iterable[str], where: str) -> None:
    repeated = sorted(name for name, count in Counter(ids).items() if count > 1)
    if repeated:
        raise LightsegError(f"{where} names cases twice: {', '.join(first_few(repeated))}; name each one once")


def _drawn(ids: tuple[str, ...], limit: int | None, seed: int) -> tuple[str, ...]:
    ordered = sorted(ids)
    return tuple(sorted(ordered[place] for place in np.random.default_rng(seed).permutation(len(ordered))[:limit]))
