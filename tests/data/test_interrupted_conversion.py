"""Conversions that were killed go on; those that fail leave nothing."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from monai_lightseg.cli.app import app
from monai_lightseg.data import (
    FileCase,
    Split,
    conversion,
    random_split,
    synthetic_cases,
    write_datalist,
    write_nnunet_raw,
)
from monai_lightseg.errors import LightsegError
from tests.folders import content

ROOT = Path(__file__).resolve().parents[2]
COUNT = 200
# Of every third case image and mask differ in size.
SIZES = [(128, 128) if number % 3 else (150, 120) for number in range(COUNT)]
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from monai_lightseg.cli import main; main()"
)
TARGETS = {"nnunet": (["--id", "7"], "Dataset007_pictures"), "datalist": ([], "made")}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in") / "pictures"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / f"images/{number:03d}.png")
        Image.fromarray(rng.integers(0, 2, (128, 128), np.uint8)).save(folder / f"masks/{number:03d}.png")
    return folder


@pytest.fixture(autouse=True)
def no_nnunet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        monkeypatch.delenv(variable, raising=False)


def arguments(pictures: Path, out: Path, to: str, *options: str) -> list[str]:
    place = out if to == "nnunet" else out / "made"
    return ["data", "convert", str(pictures), "--to", to, *TARGETS[to][0], "--out", str(place), *options]


def kill_in_the_middle(command: list[str], partial: Path, number: signal.Signals) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while len(list(partial.glob("content/images*/[!.]*"))) < 20:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(number)
    return process


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("to", "number"),
    [("nnunet", signal.SIGKILL), ("datalist", signal.SIGKILL), ("nnunet", signal.SIGTERM), ("datalist", signal.SIGINT)],
)
def test_a_killed_conversion_goes_on(pictures: Path, tmp_path: Path, to: str, number: signal.Signals) -> None:
    name = TARGETS[to][1]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    partial = killed / f".{name}.partial"
    process = kill_in_the_middle(arguments(pictures, killed, to, "--size", "128x128"), partial, number)
    _, shown = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in shown
    assert ("interrupted: the same command goes on from here" in shown) == (number == signal.SIGINT)
    assert [path.name for path in killed.iterdir()] == [partial.name]
    done = {path.name: path.stat().st_mtime_ns for path in partial.glob("content/images*/[!.]*")}
    assert 20 <= len(done) < COUNT
    (partial / "content").joinpath(f"images{'Tr' if to == 'nnunet' else ''}/.half.png.0123").touch()

    result = CliRunner().invoke(app, arguments(pictures, killed, to, "--size", "128x128"))
    assert result.exit_code == 0, result.output
    assert f"going on with the interrupted conversion to {killed / name}" in result.stderr
    assert "67 pairs of different size" in result.stdout
    assert [path.name for path in killed.iterdir()] == [name]
    after = {path.name: path.stat().st_mtime_ns for path in (killed / name).glob("images*/*")}
    # Of the cases whose image was there, at most the two in work are written anew.
    assert sum(after[key] != value for key, value in done.items()) <= 2
    assert CliRunner().invoke(app, arguments(pictures, whole, to, "--size", "128x128")).exit_code == 0
    assert content(killed / name) == content(whole / name)
    assert len(content(killed / name)) > 2 * COUNT


CASES = synthetic_cases(12, size=(32, 32))
SPLIT = random_split(case.id for case in CASES)


def written(folder: Path, cases=CASES, split=SPLIT, **changes) -> Path:
    return write_datalist(cases, split, name="Drawn", folder=folder, **{"progress": False} | changes).folder


def on_disk(folder: Path, count: int = 12) -> list[FileCase]:
    folder.mkdir()
    cases = []
    for case in CASES[:count]:
        image, mask = case.read_pair()
        paths = folder / f"{case.id}.png", folder / f"{case.id}_mask.png"
        for path, pixels in zip(paths, (image, mask), strict=True):
            Image.fromarray(pixels).save(path)
        cases.append(FileCase(case.id, *paths))
    return cases


def interrupt(monkeypatch: pytest.MonkeyPatch, folder: Path, cases, **changes) -> set[str]:
    """Press Ctrl-C at the last case; return the images that are written."""
    last, read = cases[-1].id, FileCase.read_pair

    def pressed(case: FileCase):
        if case.id == last:
            raise KeyboardInterrupt
        return read(case)

    with monkeypatch.context() as patch:
        patch.setattr(FileCase, "read_pair", pressed)
        with pytest.raises(KeyboardInterrupt):
            written(folder, cases, **changes)
    return {path.stem for path in (folder.parent / ".made.partial/content/images").iterdir()}


def go_on(capsys: pytest.CaptureFixture[str], folder: Path, cases, **changes) -> str:
    capsys.readouterr()
    written(folder, cases, progress=True, **changes)
    assert [path.name for path in folder.parent.iterdir() if "made" in path.name] == ["made"]
    return capsys.readouterr().err


def test_the_same_request_goes_on(tmp_path, monkeypatch, capsys):
    cases = on_disk(tmp_path / "in")
    done = interrupt(monkeypatch, tmp_path / "made", cases)
    assert done and CASES[-1].id not in done
    shown = go_on(capsys, tmp_path / "made", cases)
    assert "going on with the interrupted conversion" in shown
    assert "12/12" in shown
    assert content(tmp_path / "made") == content(written(tmp_path / "again", cases))


def touched(cases: list[FileCase]) -> list[FileCase]:
    os.utime(cases[0].image_path, ns=(1, 1))
    return cases


def longer(cases: list[FileCase]) -> list[FileCase]:
    with cases[0].mask_path.open("ab") as stream:
        facts = cases[0].mask_path.stat()
        stream.write(b" ")
    os.utime(cases[0].mask_path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    return cases


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (touched, {}),
        (longer, {}),
        (list, {"foreground": "mole"}),
        (list, {"protocol": "other"}),
        (list, {"split": Split(SPLIT.val, SPLIT.train, SPLIT.test)}),
        (lambda cases: [FileCase(case.id, case.image_path, cases[0].mask_path) for case in cases], {}),
    ],
)
def test_another_request_starts_over_and_says_so(tmp_path, monkeypatch, capsys, change, options):
    cases = on_disk(tmp_path / "in")
    interrupt(monkeypatch, tmp_path / "made", cases)
    cases = change(cases)
    shown = go_on(capsys, tmp_path / "made", cases, **options)
    assert "starting over" in shown
    assert content(tmp_path / "made") == content(written(tmp_path / "again", cases, **options))


def test_another_version_starts_over(tmp_path, monkeypatch, capsys):
    cases = on_disk(tmp_path / "in")
    interrupt(monkeypatch, tmp_path / "made", cases)
    monkeypatch.setattr("monai_lightseg.data.conversion.__version__", "0")
    assert "starting over" in go_on(capsys, tmp_path / "made", cases)


def test_drawn_cases_of_another_seed_start_over(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("monai_lightseg.data.conversion.write_bytes", full)
        written(tmp_path / "made")
    assert "starting over" in go_on(capsys, tmp_path / "made", synthetic_cases(12, size=(32, 32), seed=1))


def test_a_conversion_killed_at_its_end_goes_on(tmp_path, monkeypatch):
    """The split is in the preprocessed folder, the dataset is not yet in its place."""
    settings = {"dataset_id": 1, "name": "X", "raw": tmp_path / "raw", "preprocessed": tmp_path / "preprocessed"}

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("monai_lightseg.atomic._replace", killed)
        write_nnunet_raw(CASES, SPLIT, **settings, progress=False)
    assert (tmp_path / "preprocessed/Dataset001_X/splits_final.json").exists()
    assert write_nnunet_raw(CASES, SPLIT, **settings, progress=False).folder.is_dir()


def test_an_empty_picture_is_written_again(tmp_path, monkeypatch, capsys):
    """As a crash of the machine may leave it."""
    cases = on_disk(tmp_path / "in")
    done = interrupt(monkeypatch, tmp_path / "made", cases)
    (tmp_path / f".made.partial/content/labels/{min(done)}.png").write_bytes(b"")
    assert "going on" in go_on(capsys, tmp_path / "made", cases)
    assert content(tmp_path / "made") == content(written(tmp_path / "again", cases))


def test_a_folder_finished_meanwhile_is_kept(tmp_path, monkeypatch):
    """Another process makes the folder just before this one has the lock."""
    mine = synthetic_cases(12, size=(32, 32), seed=1)
    make = conversion.resumable_folder

    def late(*arguments):
        monkeypatch.setattr(conversion, "resumable_folder", make)
        written(tmp_path / "made", foreground="theirs")
        return make(*arguments)

    monkeypatch.setattr(conversion, "resumable_folder", late)
    with pytest.raises(LightsegError, match="is already there"):
        written(tmp_path / "made", mine)
    assert json.loads((tmp_path / "made/datalist.json").read_text())["labels"]["1"] == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_kill_while_replacing_needs_overwrite_again(tmp_path, monkeypatch, capsys):
    cases = on_disk(tmp_path / "in")
    before = content(written(tmp_path / "made", cases, foreground="old"))
    interrupt(monkeypatch, tmp_path / "made", cases, overwrite=True)
    (tmp_path / "made").rename(tmp_path / ".made.partial/replaced")
    with pytest.raises(LightsegError, match="is already there"):
        written(tmp_path / "made", cases)
    assert content(tmp_path / "made") == before
    assert "going on" in go_on(capsys, tmp_path / "made", cases, overwrite=True)


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX")
def test_two_conversions_at_once(tmp_path, monkeypatch):
    cases = on_disk(tmp_path / "in")
    seen: list[str] = []
    read = FileCase.read_pair

    def second(case: FileCase):
        if case.id == cases[0].id and not seen:
            with pytest.raises(LightsegError) as caught:
                written(tmp_path / "made", cases)
            seen.append(str(caught.value))
        return read(case)

    monkeypatch.setattr(FileCase, "read_pair", second)
    written(tmp_path / "made", cases)
    assert seen == [f"{tmp_path / 'made'} is being written by another process; wait for it or end it"]
    assert len(list((tmp_path / "made/images").iterdir())) == 12


def limited(command: list[str], limit: int) -> Result:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        return CliRunner().invoke(app, command)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("to", ["nnunet", "datalist"])
@pytest.mark.parametrize("limit", [0, 100, 20_000])
def test_a_limit_on_file_size_is_one_line(pictures: Path, tmp_path: Path, to: str, limit: int) -> None:
    result = limited(arguments(pictures, tmp_path / "out", to, "--size", "128x128"), limit)
    assert result.exit_code == 1
    [line] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(f"error: {tmp_path / 'out' / TARGETS[to][1]} cannot be written (")
    assert "File too large" in line and "limits on file size" in line
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_one_line_and_ends_at_once(tmp_path, monkeypatch):
    written_files = []

    def full(path: Path, content: bytes) -> None:
        written_files.append(path)
        if len(written_files) > 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(content)

    monkeypatch.setattr("monai_lightseg.data.conversion.write_bytes", full)
    many = synthetic_cases(300, size=(32, 32))
    with pytest.raises(LightsegError) as caught:
        written(tmp_path / "made", many, random_split(case.id for case in many))
    assert "No space left on device" in str(caught.value) and "\n" not in str(caught.value)
    # The other workers may have begun some more.
    assert len(written_files) < 150
    assert list(tmp_path.iterdir()) == []


def test_bad_files_after_an_interrupt_leave_nothing(tmp_path, monkeypatch):
    cases = on_disk(tmp_path / "in")
    interrupt(monkeypatch, tmp_path / "made", cases)
    cases[-1].mask_path.write_bytes(b"no picture")
    with pytest.raises(LightsegError, match=cases[-1].mask_path.name):
        written(tmp_path / "made", cases)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_interrupted_with_an_old_folder_there(tmp_path, monkeypatch, capsys):
    cases = on_disk(tmp_path / "in")
    before = content(written(tmp_path / "made", cases, foreground="old"))
    interrupt(monkeypatch, tmp_path / "made", cases, overwrite=True)
    assert content(tmp_path / "made") == before
    assert "going on" in go_on(capsys, tmp_path / "made", cases, overwrite=True)
    assert json.loads((tmp_path / "made/datalist.json").read_text())["labels"]["1"] == "lesion"
