"""One long step of a workflow as a child process: a progress bar, a log, and no orphan left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from monai_lightseg.errors import LightsegError

__all__ = ["run_stage"]


def run_stage(
    title: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    total: int,
    unit: str,
    done: Callable[[], int],
    started: Callable[[int], None],
    inherited: Sequence[int] = (),
) -> None:
    """Run `command` to its end while a progress bar shows `done()` of `total`.

    The child leads a process group of its own, which is ended if this process is interrupted.

    Args:
        title: name on the progress bar.
        command: program and arguments.
        environment: the child's environment.
        log: file that takes what the child prints.
        total: value of `done()` at the end.
        unit: what `done()` counts.
        done: progress so far; called twice a second.
        started: called with the child's process id.
        inherited: file descriptors the child keeps open.

    Raises:
        LightsegError: the child failed; the message has the last line it printed and the path of the log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream, tqdm(total=total, desc=title, unit=unit) as bar, _terminable():
        child = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(inherited),
        )
        try:
            started(child.pid)
            while child.poll() is None:
                time.sleep(0.5)
                bar.update(min(done(), total) - bar.n)
        except BaseException:
            _end(child)
            raise
        if child.returncode != 0:
            lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
            last = lines[-1].strip() if lines else "it printed nothing"
            how = f"exit {child.returncode}" if child.returncode > 0 else f"ended by signal {-child.returncode}"
            raise LightsegError(f"{title} failed ({how}): {last}; the whole log is {log}")
        bar.update(total - bar.n)


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and, where there are process groups, all that it started."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let signals that ask to end raise SystemExit, as an interrupt raises KeyboardInterrupt, so that clean-up runs.

    A signal that is ignored (`nohup`) or handled by somebody else stays so.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    asking = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    asking = [number for number in asking if signal.getsignal(number) == signal.SIG_DFL]
    for number in asking:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in asking:
            signal.signal(number, signal.SIG_DFL)
