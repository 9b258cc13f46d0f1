"""Files and folders that appear whole or not at all, and locks on them."""

import errno
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

try:
    import fcntl
except ImportError:  # Windows: there nothing is locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["HAS_LOCKS", "PartialFolder", "atomic_folder", "resumable_folder", "take_lock", "write_bytes", "write_text"]

HAS_LOCKS = fcntl is not None
# What a file system without locks answers: Lustre and FUSE may have none, NFS needs a service for them.
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})


def write_text(path: Path, text: str) -> None:
    """Write `text` (UTF-8) as `write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a hidden temporary file beside it, then rename it into place.

    Raises:
        OSError: the folder cannot be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside `path`; when the block ends without an error it replaces `path`.

    Raises:
        OSError: the parent folder cannot be written; nothing is left behind.
    """
    name = f".{path.name}.{secrets.token_hex(4)}"
    temporary = path.with_name(name)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _replace(path, temporary, path.with_name(f"{name}.old"))
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@dataclass(frozen=True)
class PartialFolder:
    """A folder that is being written.

    Attributes:
        content: what becomes the folder.
        notes: beside it, for what has to be remembered until the end.
        origin: "new"; "continued", with what an interrupted process wrote for the same request; or "restarted", where
            that request was another and nothing of it is left.
    """

    content: Path
    notes: Path
    origin: Literal["new", "continued", "restarted"]


@contextmanager
def resumable_folder(path: Path, request: str, check: Callable[[], None] = lambda: None) -> Iterator[PartialFolder]:
    """Yield a folder to write in; when the block ends without an error it replaces `path`.

    The work lies in `.NAME.partial` beside `path`. An interrupt (KeyboardInterrupt, SystemExit, a kill) leaves it there
    for the next process with the same request; any other error removes it. Where `path` is there already, it stays
    until the new folder takes its place.

    Args:
        path: the folder to make.
        request: a text that differs where the content would.
        check: raises an error where `path` is not to be replaced; it is called once no other process can write there,
            and earlier work outlives its error.

    Raises:
        BlockingIOError: another process is writing this folder.
        OSError: the parent folder cannot be written; nothing is left behind.
    """
    work = path.with_name(f".{path.name}.partial")
    work.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(work / "lock"):
            _put_back(work / "replaced", path)  # where a kill came in the middle of `_replace`
            keep = (work / "content").exists()
            try:
                check()
                keep = False
                partial = _begin(work, request)
                yield partial
                _replace(path, partial.content, work / "replaced")
            except Exception:
                if not keep:
                    shutil.rmtree(work, ignore_errors=True)
                raise
            shutil.rmtree(work, ignore_errors=True)
    finally:
        with suppress(OSError):  # empty where not even the lock could be made
            work.rmdir()


def take_lock(lock: IO[str]) -> bool:
    """Take the lock on an open file if no other process has it; whether this process may go on.

    It may, too, where the system or the file system has no locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as stream:
        if not (take_lock(stream) and path.exists()):  # the process that had the lock may just have removed the file
            raise BlockingIOError(f"{path} is taken")
        yield


def _begin(work: Path, request: str) -> PartialFolder:
    content, notes, record = work / "content", work / "notes", work / "request"
    # A record without content is of a process that was killed once all was done.
    recorded = record.read_text(encoding="utf-8") if record.exists() and content.exists() else None
    if recorded == request:
        return PartialFolder(content, notes, "continued")
    record.unlink(missing_ok=True)  # first: it must not outlive the files it tells of
    for folder in (content, notes):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
    write_text(record, request)
    return PartialFolder(content, notes, "new" if recorded is None else "restarted")


def _replace(path: Path, new: Path, aside: Path) -> None:
    """Let `new` take the place of `path`; a kill in between leaves both whole, the old one at `aside`."""
    if path.exists():
        path.rename(aside)
    try:
        new.rename(path)
    finally:
        _put_back(aside, path)


def _put_back(aside: Path, path: Path) -> None:
    """Remove the folder that was set aside, or put it back where nothing has taken its place."""
    if aside.exists() and path.exists():
        shutil.rmtree(aside)
    elif aside.exists():
        aside.rename(path)
