import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from monai_lightseg import atomic
from monai_lightseg.atomic import atomic_folder, resumable_folder, write_bytes, write_text

ROOT = Path(__file__).resolve().parents[1]
WORK = ".made.partial"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "été")
    write_bytes(tmp_path / "new" / "a.txt", b"2")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"2"
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "kept").touch()
    with pytest.raises(OSError):
        write_bytes(tmp_path / "a", b"1")
    assert names(tmp_path) == ["a"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_modes_follow_the_umask(tmp_path):
    code = (
        "import os, pathlib; os.umask(0o027)\n"
        "from monai_lightseg.atomic import *\n"
        "with atomic_folder(pathlib.Path('a')) as a: write_text(a / 'f', '')\n"
        "with resumable_folder(pathlib.Path('b'), '') as b: write_text(b.content / 'f', '')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "b", "a/f", "b/f")}
    assert modes == {"a": 0o750, "b": 0o750, "a/f": 0o640, "b/f": 0o640}


def test_an_atomic_folder_replaces_another_or_leaves_it(tmp_path):
    made = tmp_path / "made"
    for content in ("old", "new"):
        with atomic_folder(made) as folder:
            (folder / content).touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(made) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == ["made"]
    assert names(made) == ["new"]


def interrupted(made: Path, request: str, *files: str, error: type[BaseException] = KeyboardInterrupt) -> None:
    with pytest.raises(error), resumable_folder(made, request) as partial:
        for name in files:
            (partial.content / name).touch()
            (partial.notes / name).touch()
        raise error


def finished(made: Path, request: str) -> str:
    with resumable_folder(made, request) as partial:
        (partial.content / "last").touch()
    return partial.origin


def test_a_new_folder(tmp_path):
    made = tmp_path / "raw" / "made"
    assert finished(made, "a") == "new"
    assert names(made.parent) == ["made"]
    assert names(made) == ["last"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_gone_on_with(tmp_path, error):
    made = tmp_path / "made"
    interrupted(made, "a", "first", error=error)
    assert names(tmp_path) == [WORK]
    with pytest.raises(error), resumable_folder(made, "a") as partial:
        assert partial.origin == "continued"
        assert names(partial.content) == names(partial.notes) == ["first"]
        raise error
    assert finished(made, "a") == "continued"
    assert names(made) == ["first", "last"]
    assert names(tmp_path) == ["made"]


def test_another_request_starts_over(tmp_path):
    made = tmp_path / "made"
    interrupted(made, "a", "first")
    assert finished(made, "b") == "restarted"
    assert names(made) == ["last"]


@pytest.mark.parametrize("there", [False, True])
def test_an_error_leaves_nothing_but_the_old_folder(tmp_path, there):
    made = tmp_path / "made"
    if there:
        finished(made, "a")
    interrupted(made, "b", "first")
    interrupted(made, "b", error=OSError)
    assert names(tmp_path) == ["made"] * there
    assert not there or names(made) == ["last"]


def test_the_old_folder_is_kept_until_the_end(tmp_path):
    made = tmp_path / "made"
    finished(made, "a")
    (made / "mine").touch()
    interrupted(made, "b", "first")
    assert names(made) == ["last", "mine"]
    finished(made, "b")
    assert names(made) == ["first", "last"]


def test_the_old_folder_comes_back_where_it_cannot_be_replaced(tmp_path):
    made = tmp_path / "made"
    finished(made, "a")
    with pytest.raises(FileNotFoundError), resumable_folder(made, "b") as partial:
        partial.content.rmdir()
    assert names(tmp_path) == ["made"]
    assert names(made) == ["last"]


@pytest.mark.parametrize("request_now", ["b", "c"])
def test_the_old_folder_comes_back_after_a_kill_between_the_two_renamings(tmp_path, request_now):
    made = tmp_path / "made"
    finished(made, "a")
    interrupted(made, "b", "first")
    made.rename(tmp_path / WORK / "replaced")
    with pytest.raises(KeyboardInterrupt), resumable_folder(made, request_now):
        assert names(made) == ["last"]
        raise KeyboardInterrupt
    assert names(made) == ["last"]
    finished(made, request_now)
    assert names(tmp_path) == ["made"]


def test_a_kill_after_the_renamings(tmp_path):
    made = tmp_path / "made"
    finished(made, "a")
    interrupted(made, "b")
    (tmp_path / WORK / "content").rmdir()
    (tmp_path / WORK / "replaced").mkdir()
    (tmp_path / WORK / "replaced" / "old").touch()
    finished(made, "b")
    assert names(tmp_path) == ["made"]
    assert names(made) == ["last"]


def test_a_kill_before_the_last_cleaning_is_nothing_to_speak_of(tmp_path):
    made = tmp_path / "made"
    interrupted(made, "b")
    (tmp_path / WORK / "content").rename(made)
    assert finished(made, "c") == "new"
    assert names(tmp_path) == ["made"]


def refuse() -> None:
    raise ValueError("not to be replaced")


def refused(made: Path) -> None:
    with pytest.raises(ValueError, match="not to be replaced"), resumable_folder(made, "b", refuse):
        pytest.fail("it was begun")


def test_a_refusal_keeps_earlier_work_and_leaves_nothing_else(tmp_path):
    made = tmp_path / "made"
    finished(made, "a")
    refused(made)
    assert names(tmp_path) == ["made"]
    interrupted(made, "b", "first")
    refused(made)
    assert finished(made, "b") == "continued"
    assert names(made) == ["first", "last"]


def test_the_check_sees_the_old_folder_that_a_kill_set_aside(tmp_path):
    made = tmp_path / "made"
    finished(made, "a")
    interrupted(made, "b", "first")
    made.rename(tmp_path / WORK / "replaced")
    seen = []
    with resumable_folder(made, "b", lambda: seen.extend(names(made))):
        pass
    assert seen == ["last"]


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.fcntl, "flock", flock)
    assert finished(tmp_path / "made", "a") == "new"


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")
def test_other_errors_of_a_lock_are_errors(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(atomic.fcntl, "flock", flock)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        finished(tmp_path / "made", "a")


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")
def test_two_at_once(tmp_path):
    made = tmp_path / "made"
    with resumable_folder(made, "a") as partial:
        (partial.content / "first").touch()
        with pytest.raises(BlockingIOError), resumable_folder(made, "a"):
            pytest.fail("the folder was not locked")
    assert names(made) == ["first"]


def test_without_file_locks(tmp_path):
    code = (
        "import sys; sys.modules['fcntl'] = None\n"
        "from pathlib import Path\n"
        "from monai_lightseg.atomic import resumable_folder\n"
        "with resumable_folder(Path('made'), 'a') as partial: print(partial.origin)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("new\n", "")
    assert names(tmp_path) == ["made"]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), resumable_folder(tmp_path / "file" / "made", "a"):
        pytest.fail("it was made")
    assert names(tmp_path) == ["file"]
