"""What all formats share: pictures written by several threads, to a folder that appears whole, in one go or in two."""

import functools
import hashlib
import io
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from monai_lightseg import __version__
from monai_lightseg.atomic import PartialFolder, resumable_folder, write_bytes
from monai_lightseg.data.cases import Case, Label, SizesDifferError
from monai_lightseg.data.gland_preprocessing import ReducedCase
from monai_lightseg.data.images import WORKERS
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.protocols import INTERPOLATION, ids_checksum
from monai_lightseg.data.splits import Folds, Split
from monai_lightseg.errors import LightsegError

__all__ = [
    "CONVERSION_FILE",
    "Conversion",
    "check_case_ids",
    "check_size",
    "conversion_text",
    "os_errors_named",
    "write_pictures",
    "writing",
]

CONVERSION_FILE = "lightseg_conversion.json"

_ERRORS_SHOWN = 20
# Level 6, Pillow's own, takes twice the processor time of the whole conversion for files 5 per cent smaller.
_COMPRESSION = 3

# Turns id, image and label of a case into its pictures.
Render = Callable[[str, NDArray[np.uint8], Label], Sequence[NDArray[Any]]]


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        folder: the folder.
        mismatched: ids of the cases whose image and label differed in size, each of which was resized on its own.
    """

    folder: Path
    mismatched: tuple[str, ...]


def check_case_ids(ids: Iterable[str]) -> None:
    """Check that each id makes a file name of its own, on any file system.

    Raises:
        LightsegError: an id has characters other than letters, digits, `_`, `.` and `-`, starts with `.` or `-`, or
            is there twice, upper and lower case being the same.
    """
    names = list(ids)
    bad = [name for name in names if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name)]
    if bad:
        raise LightsegError(
            f"case ids that make no safe file name: {', '.join(first_few([repr(name) for name in bad]))}; "
            "use letters, digits, _ . and -, with a letter, digit or _ first"
        )
    counts = Counter(name.lower() for name in names)
    repeated = [name for name in names if counts[name.lower()] > 1]
    if repeated:
        raise LightsegError(f"case ids that make the same file name: {', '.join(first_few(repeated))}; rename them")


def check_size(size: tuple[int, int] | None) -> None:
    """Check a (height, width) to resize to.

    Raises:
        LightsegError: a side is below 1.
    """
    if size is not None and min(size) < 1:
        raise LightsegError(f"size is {size}; pass a height and a width of at least 1")


@contextmanager
def writing(
    folder: Path,
    cases: Sequence[Case],
    settings: Mapping[str, Any],
    *,
    entries: Collection[str],
    overwrite: bool,
    progress: bool,
) -> Iterator[PartialFolder]:
    """Yield the partial folder that becomes `folder`, as `resumable_folder` does.

    What an interrupted process left is gone on with if cases, their files, settings and version are the same.

    Args:
        folder: the folder to make, or a link to it.
        cases: the cases.
        settings: all else that decides what is written, as JSON takes it.
        entries: names of all files and folders that this format may have in `folder`, `CONVERSION_FILE` among them;
            a folder that lacks that file or holds more is never replaced, but for an empty one.
        overwrite: replace a folder that is there.
        progress: say on stderr where earlier work is gone on with or given up.

    Raises:
        LightsegError: the folder is there and is not to be replaced, another process is writing it, or it cannot be
            written.
    """
    with os_errors_named(folder):
        if folder.is_mount():
            raise LightsegError(f"{folder} is a mount point, which cannot be replaced; choose a folder in it")
        check = functools.partial(_check_target, folder, cases, entries, overwrite)
        # A link is kept, and what it leads to is replaced.
        with resumable_folder(folder.resolve(), _request(cases, settings), check) as partial:
            if progress and partial.origin == "continued":
                print(f"going on with the interrupted conversion to {folder}", file=sys.stderr)
            if progress and partial.origin == "restarted":
                print(
                    f"starting over: the interrupted conversion to {folder} was of other files or options",
                    file=sys.stderr,
                )
            yield partial


@contextmanager
def os_errors_named(folder: Path) -> Iterator[None]:
    """Raise LightsegError where `folder` cannot be written."""
    try:
        yield
    except BlockingIOError as error:
        raise LightsegError(f"{folder} is being written by another process; wait for it or end it") from error
    except OSError as error:
        raise LightsegError(
            f"{folder} cannot be written ({error}); check the folder, the space on disk and limits on file size"
        ) from error


def write_pictures(
    partial: PartialFolder,
    cases: Iterable[Case],
    files: Mapping[str, Sequence[str]],
    render: Render,
    *,
    size: tuple[int, int] | None,
    progress: bool,
) -> tuple[str, ...]:
    """Write the pictures of all cases as PNG, but for those that are there already.

    Args:
        partial: where to write.
        cases: the cases; those that `files` does not name are passed over.
        files: by case id, the pictures of the case as paths in the folder.
        render: makes these pictures of the image and the label, which have one size.
        size: (height, width) to resize to, images bilinear and labels nearest; None keeps each case's own size.
        progress: show a progress bar on stderr.

    Returns:
        Ids of the cases whose image and label differed in size; without `size` that is an error.

    Raises:
        LightsegError: files that cannot be read, one line each, the first 20, and how many pairs differ in size.
        OSError: a picture cannot be written.
    """
    for leftover in partial.content.glob("*/.*"):  # what a killed process was writing
        leftover.unlink()
    for folder in {(partial.content / name).parent for names in files.values() for name in names}:
        folder.mkdir(exist_ok=True)

    def write(case: Case) -> LightsegError | None:
        """Write one case; return why it cannot be read, so that one bad file does not hide the next."""
        try:
            pictures = render(case.id, *_read(case, size, partial.notes))
        except LightsegError as error:
            return error
        for name, picture in zip(files[case.id], pictures, strict=True):
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, "PNG", compress_level=_COMPRESSION)
            write_bytes(partial.content / name, stream.getvalue())
        return None

    wanted = [case for case in cases if case.id in files]
    missing = [case for case in wanted if not all(_is_written(partial.content / name) for name in files[case.id])]
    errors = _in_threads(write, missing, len(wanted), progress)
    if errors:
        lines = first_few([str(error) for error in errors], _ERRORS_SHOWN)
        unequal = sum(isinstance(error, SizesDifferError) for error in errors)
        if unequal:
            lines.append(
                f"{unequal} pairs differ in size: give --size HEIGHTxWIDTH (size=...) to resize all cases to one"
            )
        raise LightsegError("\n".join(lines))
    return tuple(case.id for case in wanted if (partial.notes / case.id).exists())


def conversion_text(
    cases: Iterable[Case],
    split: Split | Folds,
    *,
    protocol: str | None,
    size: tuple[int, int] | None,
    border: int | None,
    mismatched: Sequence[str],
) -> str:
    """Return the text of `CONVERSION_FILE`: which cases these are, and what was done to them."""
    parts = split.named_parts
    content = {
        "version": __version__,
        "protocol": protocol,
        "counts": {name: len(ids) for name, ids in parts.items()},
        "sha256": {name: ids_checksum(ids) for name, ids in parts.items() if ids},
        "reduced": any(isinstance(case, ReducedCase) for case in cases),
        "size": size,
        "interpolation": None if size is None else INTERPOLATION,
        "border": border,
        "mismatched": len(mismatched),
    }
    return json.dumps(content, indent=2) + "\n"


def _check_target(folder: Path, cases: Iterable[Case], entries: Collection[str], overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LightsegError(f"{folder} is a file; choose another place")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    if CONVERSION_FILE not in names:
        raise LightsegError(
            f"{folder} holds other files and no {CONVERSION_FILE}, so it is not replaced; choose another place"
        )
    others = sorted(names.difference(entries))
    if others:
        raise LightsegError(
            f"{folder} holds more than a conversion writes ({', '.join(first_few(others))}), so it is not replaced; "
            "move that away, or choose another place"
        )
    if not overwrite:
        raise LightsegError(
            f"{folder} is already there; give another name, or --overwrite (overwrite=True) to replace it"
        )
    whole = folder.resolve()
    for source in {path.parent for case in cases for path in case.paths}:
        if source.resolve().is_relative_to(whole):
            raise LightsegError(f"{folder} holds the cases themselves ({source}), so it is not replaced")


def _request(cases: Iterable[Case], settings: Mapping[str, Any]) -> str:
    """Digest that changes with the cases, the sizes and times of their files, the settings and the version."""
    digest = hashlib.sha256(json.dumps([__version__, settings]).encode())
    for case in cases:
        digest.update(f"{case!r} {[_facts(path) for path in case.paths]}\n".encode())
    return digest.hexdigest()


def _facts(path: Path) -> tuple[str, int, int]:
    try:
        facts = path.stat()
    except OSError:  # what is wrong with the file is said when it is read
        return str(path.resolve()), 0, 0
    return str(path.resolve()), facts.st_size, facts.st_mtime_ns


def _is_written(picture: Path) -> bool:
    # A crash of the machine may leave an empty file.
    return picture.exists() and picture.stat().st_size > 0


def _in_threads(
    work: Callable[[Case], LightsegError | None], cases: Sequence[Case], total: int, progress: bool
) -> list[LightsegError]:
    """Do the work for each case and return what went wrong, in the order of the cases."""
    with (
        tqdm(total=total, initial=total - len(cases), desc="writing cases", disable=not progress) as bar,
        ThreadPoolExecutor(WORKERS) as pool,
    ):
        futures = [pool.submit(work, case) for case in cases]
        errors = []
        try:
            for future in futures:
                errors.append(future.result())
                bar.update()
        except BaseException:  # a full disk or an interrupt: no further case is begun
            pool.shutdown(cancel_futures=True)
            raise
    return [error for error in errors if error is not None]


def _read(case: Case, size: tuple[int, int] | None, notes: Path) -> tuple[NDArray[np.uint8], Label]:
    if size is None:
        return case.read_pair()
    image, label = case.read_image(), case.read_label()
    if image.shape[:2] != label.shape:
        (notes / case.id).touch()
    resized: Label = _resized(label, size, Image.Resampling.NEAREST)
    return _resized(image, size, Image.Resampling.BILINEAR), resized


def _resized(pixels: NDArray[Any], size: tuple[int, int], resampling: Image.Resampling) -> NDArray[Any]:
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), resampling))
