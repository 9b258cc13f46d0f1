"""What the demo owns in its output folder, who works in it now, and which stages are done."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from monai_lightseg.atomic import write_text
from monai_lightseg.errors import LightsegError

__all__ = ["DemoFolder", "fingerprint"]

_REPORT_MARK = "<!-- written by lightseg demo -->"


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
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            self._lock.touch()
        except OSError as error:
            raise LightsegError(f"{out} cannot be written ({error.strerror}): choose another folder with --out") from error
        if self.report.exists() and _REPORT_MARK not in self.report.read_text(encoding="utf-8", errors="replace"):
            raise LightsegError(f"{self.report} was not written by the demo: move it or choose another folder with --out")

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the folder for this process; yield the lock's file descriptor, for children to inherit.

        A child of a killed demo still holds the lock; it is ended. The lock proves that the recorded process is ours.

        Raises:
            LightsegError: another demo works in the folder.
        """
        with self._lock.open("r+", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._end_orphan(stream.read())
                fcntl.flock(stream, fcntl.LOCK_EX)
            self.record_child(None)
            yield stream.fileno()

    def record_child(self, child: int | None) -> None:
        """Write down this process and the child that does its work."""
        self._lock.write_text(json.dumps({"demo": os.getpid(), "child": child}), encoding="utf-8")

    def _end_orphan(self, holder: str) -> None:
        recorded = json.loads(holder)
        if _alive(recorded["demo"]) or recorded["child"] is None:
            raise LightsegError(
                f"another demo (process {recorded['demo']}) works in {self.work}: wait for it, end it, or use another --out"
            )
        try:
            os.killpg(recorded["child"], signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.2)

    def begin(self, settings: dict[str, Any]) -> list[str]:
        """Stages that an earlier run with the same settings finished; after a run with others, all its files go."""
        state = self._read_state()
        if state.get("settings") == settings:
            return list(state["done"])
        for path in (self.work / "nnunet", self.predictions, self.logs):
            shutil.rmtree(path, ignore_errors=True)
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
        write_text(self.report, f"{_REPORT_MARK}\n{html}")

    def _read_state(self) -> dict[str, Any]:
        return json.loads(self._state.read_text(encoding="utf-8")) if self._state.exists() else {}

    def _write_state(self, state: dict[str, Any]) -> None:
        write_text(self._state, json.dumps(state, indent=1))


def fingerprint(folder: Path) -> str:
    """Digest of names, sizes and times of all files below `folder`, so that changed data start a new demo."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        facts = path.stat()
        digest.update(f"{path.relative_to(folder)} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
