"""What the demo owns in its output folder, who works in it now, and which stages are done."""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from monai_lightseg.atomic import HAS_LOCKS, take_lock, write_text
from monai_lightseg.errors import LightsegError

__all__ = ["DemoFolder", "fingerprint", "remove_folder"]

_REPORT_MARK = "<!-- written by lightseg demo -->"
_ORPHAN_SECONDS = 10.0


class DemoFolder:
    """`OUT/report.html` and the folder `OUT/lightseg_demo`; nothing else in OUT is touched.

    Raises:
        LightsegError: OUT is a file, cannot be written, or holds a report.html that the demo did not write.
    """

    def __init__(self, out: Path) -> None:
        self.report = out / "report.html"
        self.work = out / "lightseg_demo"
        self.raw = self.work / "nnunet" / "raw"
        self.preprocessed = self.work / "nnunet" / "preprocessed"
        self.results = self.work / "nnunet" / "results"
        self.predictions = self.work / "predictions"
        self.logs = self.work / "logs"
        self._state = self.work / "state.json"
        self._lock = self.work / "lock"
        self._child_lock = self.work / "child.lock"
        self._child = self.work / "child"
        if self.report.exists() and not _is_ours(self.report):
            raise LightsegError(
                f"{self.report} was not written by the demo: move it or choose another folder with --out"
            )
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._lock.touch()
        except OSError as error:
            raise LightsegError(
                f"{out} cannot be written ({error.strerror}): choose another folder with --out"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[tuple[int, ...]]:
        """Hold the folder for this process; yield the file descriptors that its children have to inherit.

        There are two locks. The demo holds the first alone. Its children hold the second with it, so where only the
        second is taken, a child has outlived a killed demo; it is ended before it can write into this run.

        Raises:
            LightsegError: another demo works in the folder, or what a killed one left there cannot be ended.
        """
        if not HAS_LOCKS:
            yield ()
            return
        with self._lock.open("a") as own, self._child_lock.open("a") as shared:
            if not take_lock(own):
                raise LightsegError(f"another demo works in {self.work}: wait for it, end it, or use another --out")
            if not take_lock(shared):
                self._end_orphan(shared)
            yield (shared.fileno(),)

    def record_child(self, child: int) -> None:
        """Write down the process group that does the work."""
        write_text(self._child, str(child))

    def forget_child(self) -> None:
        """Remove that record; its number may soon be another process's."""
        self._child.unlink(missing_ok=True)

    def _end_orphan(self, lock: IO[str]) -> None:
        # The taken lock proves that the recorded process is alive and a child of ours.
        if self._child.exists():
            with suppress(ProcessLookupError):  # it ended just now
                os.killpg(int(self._child.read_text(encoding="utf-8")), signal.SIGKILL)
        end = time.monotonic() + _ORPHAN_SECONDS
        while not take_lock(lock):
            if time.monotonic() > end:
                raise LightsegError(
                    f"a process of a killed demo still works in {self.work}: end it, or use another --out"
                )
            time.sleep(0.1)

    def begin(self, settings: dict[str, Any]) -> list[str]:
        """Stages that an earlier run with the same settings finished; after a run with others, all its files go."""
        for leftover in self.work.glob(".*"):  # temporary files of a killed demo
            leftover.unlink()
        state = self._read_state()
        if state.get("settings") == settings:
            return list(state["done"])
        self._state.unlink(missing_ok=True)  # first: it must not outlive the files it tells of
        for path in (self.work / "nnunet", self.predictions, self.logs):
            remove_folder(path)
        self.report.unlink(missing_ok=True)
        self._write_state({"settings": settings, "done": {}})
        return []

    def finish(self, stage: str, seconds: float) -> None:
        """Write down that `stage` is done."""
        state = self._read_state()
        state["done"][stage] = round(seconds, 1)
        self._write_state(state)

    def seconds(self) -> dict[str, float]:
        """Seconds that each finished stage took."""
        return dict(self._read_state()["done"])

    def write_report(self, html: str) -> None:
        """Replace the report."""
        whole = self.work / self.report.name
        write_text(whole, f"{_REPORT_MARK}\n{html}")
        whole.replace(self.report)

    def _read_state(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._state.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):  # a damaged file counts as none: the demo starts anew
            return {}

    def _write_state(self, state: dict[str, Any]) -> None:
        write_text(self._state, json.dumps(state, indent=1))


def fingerprint(files: Iterable[Path]) -> str:
    """Digest of names, sizes and times of the files, so that changed data start a new demo."""
    digest = hashlib.sha256()
    for path in files:
        facts = path.stat()
        digest.update(f"{path.resolve()} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def remove_folder(path: Path) -> None:
    """Remove the folder and all in it, where there is one.

    Raises:
        OSError: something in it cannot be removed.
    """
    if path.exists():
        shutil.rmtree(path)


def _is_ours(report: Path) -> bool:
    try:
        with report.open(encoding="utf-8", errors="replace") as stream:
            return stream.readline().strip() == _REPORT_MARK
    except OSError:
        return False
