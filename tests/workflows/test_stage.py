import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.stage import run_stage

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")

ROOT = Path(__file__).resolve().parents[2]
BEATING = """
import pathlib, sys, time
for beat in range(600):
    pathlib.Path(sys.argv[1]).write_text(str(beat)); time.sleep(0.05)
"""
# A child with a child of its own, as nnU-Net's worker pools are.
WITH_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
DEMO = """
import sys, pathlib
from monai_lightseg.workflows.stage import run_stage
run_stage('t', sys.argv[2:], environment={}, log=pathlib.Path(sys.argv[1]), total=1, unit='u', done=lambda: 0,
          started=lambda child: None)
"""


def run(code: str, log: Path, *arguments: str, **options: Any) -> None:
    settings = {"total": 3, "unit": "thing", "done": lambda: 0, "started": lambda child: None, **options}
    run_stage("train", [sys.executable, "-c", code, *arguments], environment=os.environ, log=log, **settings)


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def beats_on(heart: Path) -> bool:
    before = heart.read_text()
    time.sleep(0.5)
    return heart.read_text() != before


def test_log_progress_and_process(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    children: list[int] = []
    log = tmp_path / "new" / "train.log"
    run("import os; print(os.getpgid(0)); os.write(2, b'err')", log, started=children.append)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "3/3" in printed.err and printed.err.endswith("\n")
    assert sorted(log.read_text().split()) == sorted(["err", str(children[0])])


def test_progress_goes_up_and_is_bounded(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run("import time; time.sleep(1.2)", tmp_path / "log", done=lambda: 99)
    assert "99/" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "print('first'); print('the cause\\n\\n'); raise SystemExit(3)",
            "train failed (exit 3): the cause; the whole log",
        ),
        ("raise SystemExit(1)", "train failed (exit 1): it printed nothing; the whole log"),
        ("import os; os.kill(os.getpid(), 9)", "train failed (ended by signal 9): it printed nothing"),
    ],
)
def test_failure(tmp_path: Path, code: str, told: str) -> None:
    with pytest.raises(LightsegError) as error:
        run(code, tmp_path / "train.log")
    assert told in str(error.value)
    assert str(error.value).endswith(str(tmp_path / "train.log"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_exception_ends_the_whole_group(tmp_path: Path, error: type[BaseException]) -> None:
    heart = tmp_path / "heart"

    def done() -> int:
        wait_for(heart.exists)
        raise error

    with pytest.raises(error):
        run(WITH_CHILD, tmp_path / "log", BEATING, str(heart), done=done)
    assert not beats_on(heart)


def test_the_record_that_fails_ends_the_child(tmp_path: Path) -> None:
    def started(child: int) -> None:
        wait_for((tmp_path / "heart").exists)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run(BEATING, tmp_path / "log", str(tmp_path / "heart"), started=started)
    assert not beats_on(tmp_path / "heart")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_the_child(tmp_path: Path, number: signal.Signals) -> None:
    heart = tmp_path / "heart"
    command = [sys.executable, "-c", DEMO, str(tmp_path / "log"), sys.executable, "-c", BEATING, str(heart)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        # Where the tests run under nohup or in the background of a script, the signal is ignored from the start.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    wait_for(heart.exists)
    process.send_signal(number)
    code = process.wait(30)
    assert code == (-number if number == signal.SIGINT else 128 + number)
    assert not beats_on(heart)


def test_handlers_are_put_back_and_others_are_kept(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    seen: list[object] = []
    try:
        run("", tmp_path / "log", started=lambda child: seen.append(signal.getsignal(signal.SIGHUP)))
        assert seen == [signal.SIG_IGN]
        assert signal.getsignal(signal.SIGTERM) == before
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, ignored)
