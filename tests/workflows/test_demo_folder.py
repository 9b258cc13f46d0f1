import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows.demo_folder import DemoFolder, fingerprint
from tests.workflows.test_stage import BEATING, beats_on, wait_for

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")
DEMO = """
import pathlib, sys
from monai_lightseg.workflows.demo_folder import DemoFolder
from monai_lightseg.workflows.stage import run_stage
folder = DemoFolder(pathlib.Path(sys.argv[1]))
with folder.locked() as locks:
    folder.forget_child()
    run_stage('t', sys.argv[2:], environment={}, log=folder.logs / 'x.log', total=1, unit='u', done=lambda: 0,
              started=folder.record_child, inherited=locks)
"""


def start_demo(out: Path, heart: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DEMO, str(out), sys.executable, "-c", BEATING, str(heart)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    wait_for(lambda: heart.exists() and (out / "lightseg_demo" / "child").exists())
    return process


@posix
def test_second_demo_in_the_same_folder(tmp_path: Path) -> None:
    heart = tmp_path / "heart"
    process = start_demo(tmp_path, heart)
    try:
        with pytest.raises(LightsegError, match="another demo works in"), DemoFolder(tmp_path).locked():
            pytest.fail("the folder was not locked")
        assert beats_on(heart)
        with DemoFolder(tmp_path / "elsewhere").locked():
            pass
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    with DemoFolder(tmp_path).locked():
        pass


@posix
def test_the_orphan_of_a_killed_demo_is_ended(tmp_path: Path) -> None:
    heart = tmp_path / "heart"
    process = start_demo(tmp_path, heart)
    process.kill()
    process.wait(30)
    assert beats_on(heart)
    with DemoFolder(tmp_path).locked():
        assert not beats_on(heart)
    assert not beats_on(heart)


@posix
def test_an_orphan_that_cannot_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monai_lightseg.workflows.demo_folder._ORPHAN_SECONDS", 0.2)
    heart = tmp_path / "heart"
    process = start_demo(tmp_path, heart)
    record = tmp_path / "lightseg_demo" / "child"
    orphan = int(record.read_text())
    process.kill()
    process.wait(30)
    try:
        record.unlink()  # killed between the start of the child and its record
        with (
            pytest.raises(LightsegError, match="a process of a killed demo still works in"),
            DemoFolder(tmp_path).locked(),
        ):
            pytest.fail("the folder was not locked")
        assert beats_on(heart)
    finally:
        os.killpg(orphan, signal.SIGKILL)


@posix
def test_a_stale_record_ends_nobody(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", BEATING, str(tmp_path / "heart")], start_new_session=True)
    try:
        folder = DemoFolder(tmp_path)
        folder.record_child(stranger.pid)
        with folder.locked():
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_without_file_locks(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from pathlib import Path\n"
        "from monai_lightseg.workflows.demo_folder import DemoFolder\n"
        "with DemoFolder(Path(sys.argv[1])).locked() as locks: print(locks)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "()\n"


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    (tmp_path / "nnunet").mkdir()
    folder = DemoFolder(tmp_path)
    folder.begin({"a": 1})
    folder.write_report("<p>")
    folder.begin({"a": 2})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lightseg_demo", "nnunet", "thesis.tex"]


@pytest.mark.parametrize("text", ["<html>my own</html>", "", "mine\n<!-- written by lightseg demo -->"])
def test_a_foreign_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.html").write_text(text)
    with pytest.raises(LightsegError, match=r"report\.html was not written by the demo: move it"):
        DemoFolder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_in_the_place_of_the_report(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(LightsegError, match="was not written by the demo"):
        DemoFolder(tmp_path)


def test_its_own_report_is_replaced(tmp_path: Path) -> None:
    DemoFolder(tmp_path).write_report("old")
    DemoFolder(tmp_path).write_report("new")
    assert (tmp_path / "report.html").read_text().endswith("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lightseg_demo", "report.html"]


def test_a_file_as_output_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(LightsegError, match=r"file cannot be written .*choose another folder with --out"):
        DemoFolder(file)
    assert file.read_text() == "mine"


def test_an_output_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)  # a mode would not stop the superuser
    with pytest.raises(LightsegError, match=r"out cannot be written \(Permission denied\): choose another folder"):
        DemoFolder(tmp_path / "out")


def test_stages_are_kept_for_the_same_settings_only(tmp_path: Path) -> None:
    settings = {"cases": [["a"], ["b"]]}
    folder = DemoFolder(tmp_path)
    assert folder.begin(settings) == []
    for path in (folder.raw, folder.predictions, folder.logs):
        path.mkdir(parents=True)
    folder.finish("convert", 1.234)
    folder.finish("plan", 2)
    again = DemoFolder(tmp_path)
    assert again.begin(settings) == ["convert", "plan"]
    assert again.seconds() == {"convert": 1.2, "plan": 2}
    assert again.begin({"cases": [["a"], ["c"]]}) == []
    assert not any(path.exists() for path in (folder.raw, folder.predictions, folder.logs))
    assert again.begin(settings) == []


def test_a_restart_that_was_cut_off_is_not_taken_for_the_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = DemoFolder(tmp_path)
    folder.begin({"a": 1})
    folder.finish("convert", 1)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("monai_lightseg.workflows.demo_folder.remove_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            folder.begin({"a": 2})
    assert DemoFolder(tmp_path).begin({"a": 1}) == []


@pytest.mark.parametrize("text", ["", "{"])
def test_a_damaged_state_starts_anew(tmp_path: Path, text: str) -> None:
    folder = DemoFolder(tmp_path)
    folder.begin({"a": 1})
    folder.finish("convert", 1)
    (folder.work / "state.json").write_text(text)
    assert folder.begin({"a": 1}) == []


def test_half_written_files_go(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path)
    (folder.work / ".state.json.x7").write_text("{")
    folder.begin({})
    assert not (folder.work / ".state.json.x7").exists()


def test_fingerprint(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(b"12")
    first = fingerprint([file])
    (tmp_path / "notes.txt").write_text("of no account")
    assert fingerprint([file]) == first
    os.utime(file, ns=(1, 1))
    assert fingerprint([file]) != first
    file.write_bytes(b"123")
    os.utime(file, ns=(1, 1))
    assert len({first, fingerprint([file]), fingerprint([])}) == 3
