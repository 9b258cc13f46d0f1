import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("nnunetv2")

from typer.testing import CliRunner

from monai_lightseg.cli.app import app
from monai_lightseg.data import synthetic_cases
from monai_lightseg.errors import LightsegError
from monai_lightseg.workflows import demo_run
from monai_lightseg.workflows.demo_run import run_demo
from tests.data.fake_glas import write_glas
from tests.workflows.test_stage import wait_for

ROOT = Path(__file__).resolve().parents[2]
SMOKE = "nnUNetTrainerNmODEDecoderSmoke"
STAGES = ["convert", "plan", "train", "predict"]


@pytest.fixture
def isic(tmp_path: Path) -> Path:
    """A folder in the layout of the ISIC 2018 training data."""
    images, masks = (
        tmp_path / "isic" / name for name in ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth")
    )
    for folder in (images, masks):
        folder.mkdir(parents=True)
    for i, case in enumerate(synthetic_cases(8, size=(96, 120), seed=1)):
        image, mask = case.read_pair()
        Image.fromarray(image).save(images / f"ISIC_{i:07d}.jpg")
        Image.fromarray(mask * 255).save(masks / f"ISIC_{i:07d}_segmentation.png")
    return tmp_path / "isic"


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Titles of the child processes that were started; none is."""
    seen: list[str] = []

    def run_stage(title: str, command: list[str], **options: object) -> None:
        seen.append(title)

    monkeypatch.setattr(demo_run, "run_stage", run_stage)
    monkeypatch.setattr(demo_run, "_report", lambda *arguments: None)
    return seen


CHILDREN = ["plan", "light plans", "train", "predict"]


def image_of(isic: Path, number: int) -> Path:
    return isic / "ISIC2018_Task1-2_Training_Input" / f"ISIC_{number:07d}.jpg"


def mask_of(isic: Path, number: int) -> Path:
    return isic / "ISIC2018_Task1_Training_GroundTruth" / f"ISIC_{number:07d}_segmentation.png"


def corrupt_image(isic: Path) -> Path:
    image_of(isic, 3).write_bytes(image_of(isic, 3).read_bytes()[:500])
    return image_of(isic, 3)


def missing_mask(isic: Path) -> Path:
    mask_of(isic, 3).unlink()
    return image_of(isic, 3)


def transparent_mask(isic: Path) -> Path:
    mask = Image.open(mask_of(isic, 3)).convert("RGBA")
    mask.putalpha(100)
    mask.save(mask_of(isic, 3))
    return mask_of(isic, 3)


@pytest.mark.parametrize("damage", [corrupt_image, missing_mask, transparent_mask])
def test_bad_data(damage, isic: Path, tmp_path: Path, stages: list[str]) -> None:  # type: ignore[no-untyped-def]
    bad = damage(isic)
    result = CliRunner().invoke(app, ["demo", "--data", str(isic), "--out", str(tmp_path / "out")])
    assert (result.exit_code, result.stdout, stages) == (1, "", [])
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len([line for line in errors if str(bad) in line]) == 1
    assert "Traceback" not in result.stderr
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {"lock", "child.lock", "state.json"}


def test_a_mask_of_another_size_is_resized_and_counted(isic: Path, tmp_path: Path, stages: list[str]) -> None:
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(mask_of(isic, 3))
    result = CliRunner().invoke(app, ["demo", "--data", str(isic), "--out", str(tmp_path / "out")])
    assert (result.exit_code, stages) == (0, CHILDREN)
    assert "1 pairs of different size, each resized on its own\n" in result.stderr


def test_too_few_images(isic: Path, tmp_path: Path, stages: list[str]) -> None:
    for number in range(2, 8):
        image_of(isic, number).unlink()
        mask_of(isic, number).unlink()
    with pytest.raises(LightsegError, match=f"{isic} holds 2 images with masks: the demo needs at least 3"):
        run_demo(isic, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_glas_is_refused(tmp_path: Path, stages: list[str]) -> None:
    folder = write_glas(tmp_path / "glas", ["train_1", "train_2", "testA_1", "testB_1"])
    result = CliRunner().invoke(app, ["demo", "--data", str(folder), "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {folder} holds GlaS")
    assert "`lightseg data convert`" in result.stderr
    assert not stages
    assert not (tmp_path / "out").exists()


def test_without_nnunet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.stderr == "error: nnunetv2 is not installed: pip install 'nnunetv2>=2.8,<3'\n"
    assert not (tmp_path / "out").exists()


def test_a_foreign_report_is_found_before_any_work(tmp_path: Path, stages: list[str]) -> None:
    (tmp_path / "report.html").write_text("mine")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert (result.exit_code, stages) == (1, [])
    assert result.stderr.startswith(f"error: {tmp_path / 'report.html'} was not written by the demo")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("monai_lightseg.workflows.demo_folder.write_text", full)
    with pytest.raises(LightsegError, match=r"state\.json cannot be read or written \(No space left on device\)"):
        run_demo(None, tmp_path, synthetic=12)


def test_finished_stages_are_kept(
    isic: Path, tmp_path: Path, stages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run_demo(isic, tmp_path / "out")
    assert stages == CHILDREN
    assert "continuing" not in capsys.readouterr().err
    run_demo(isic, tmp_path / "out")
    assert stages == CHILDREN
    assert "continuing after: convert, plan, train, predict" in capsys.readouterr().err


def test_other_settings_or_data_start_anew(isic: Path, tmp_path: Path, stages: list[str]) -> None:
    out = tmp_path / "out"
    run_demo(isic, out)
    run_demo(isic, out, trainer=SMOKE)
    assert stages == 2 * CHILDREN
    (isic / "notes.txt").write_text("of no account")
    run_demo(isic, out, trainer=SMOKE)
    assert stages == 2 * CHILDREN
    os.utime(mask_of(isic, 3), ns=(1, 1))
    run_demo(isic, out, trainer=SMOKE)
    assert stages == 3 * CHILDREN
    run_demo(None, out, trainer=SMOKE, synthetic=20, limits=(4, 1, 1))
    run_demo(None, out, trainer=SMOKE, synthetic=30, limits=(4, 1, 1))
    assert stages == 5 * CHILDREN


def test_data_in_the_output_folder(isic: Path, stages: list[str]) -> None:
    run_demo(isic, isic)
    run_demo(isic, isic)
    assert stages == CHILDREN
    assert len(list(isic.rglob("ISIC_*.jpg"))) == 8


def test_the_users_variables_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def run_stage(title: str, command: list[str], *, environment: dict[str, str], **options: object) -> None:
        given.append(environment)

    monkeypatch.setattr(demo_run, "run_stage", run_stage)
    monkeypatch.setattr(demo_run, "_report", lambda *arguments: None)
    monkeypatch.setenv("nnUNet_raw", "/elsewhere/raw")
    monkeypatch.delenv("nnUNet_results", raising=False)
    monkeypatch.chdir(tmp_path)
    run_demo(None, Path("my demo"), synthetic=12)
    assert os.environ["nnUNet_raw"] == "/elsewhere/raw"
    assert "nnUNet_results" not in os.environ
    assert [environment["nnUNet_n_proc_DA"] for environment in given] == ["1", "1", "0", "1"]
    for environment in given:
        for name in ("raw", "preprocessed", "results"):
            assert environment[f"nnUNet_{name}"] == str(tmp_path / "my demo" / "lightseg_demo" / "nnunet" / name)


def start(out: Path) -> subprocess.Popen[str]:
    code = (
        "import pathlib, sys; from monai_lightseg.workflows.demo_run import run_demo\n"
        f"print(run_demo(None, pathlib.Path(sys.argv[1]), trainer={SMOKE!r}, synthetic=12))"
    )
    variables = {"PYTHONPATH": str(ROOT), "nnUNet_raw": "/elsewhere", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.Popen(
        [sys.executable, "-c", code, out.name],
        cwd=out.parent,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_finished(out: Path) -> None:
    work = out / "lightseg_demo"
    assert (out / "report.html").read_text().count("<figure>") == 3
    assert len(list((work / "predictions").glob("*.png"))) == 3
    half_written = [path for path in work.rglob("*") if path.name.startswith(".") or path.suffix == ".partial"]
    assert half_written == []


@pytest.mark.slow
def test_killed_at_every_stage(tmp_path: Path) -> None:
    out = tmp_path / "my demo"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    logs = out / "lightseg_demo" / "logs"
    # A file that says that the stage is at work, and how its demo ends.
    ends = {
        "convert": (out / "lightseg_demo" / "state.json", signal.SIGKILL),
        "plan": (logs / "plan.log", signal.SIGKILL),
        "train": (logs / "train.log", signal.SIGTERM),
        "predict": (logs / "predict.log", signal.SIGKILL),
    }
    for stage, (file, number) in ends.items():
        demo = start(out)
        wait_for(lambda file=file: file.exists() and file.stat().st_size > 0, seconds=400)  # type: ignore[misc]
        demo.send_signal(number)
        errors = demo.communicate(timeout=60)[1]
        assert demo.returncode == (-number if number == signal.SIGKILL else 128 + number), errors
        done = STAGES[: STAGES.index(stage) - 1] if stage != "convert" else []
        assert all(name in errors.partition("(")[0] for name in done), errors
    orphan = int((out / "lightseg_demo" / "child").read_text())
    demo = start(out)
    printed, errors = demo.communicate(timeout=600)
    assert (demo.returncode, printed) == (0, "my demo/report.html\n"), errors
    assert "continuing after: convert, plan, train" in errors
    assert int((out / "lightseg_demo" / "child").read_text()) != orphan
    assert not Path(f"/proc/{orphan}/fd").exists() or not list(Path(f"/proc/{orphan}/fd").iterdir())
    assert sorted(path.name for path in out.iterdir()) == ["lightseg_demo", "report.html", "thesis.tex"]
    check_finished(out)
    # A training that was ended before its checkpoint starts anew, so all its epochs are there.
    assert "<td>epochs</td><td>1</td>" in (out / "report.html").read_text()


def test_real_layout(isic: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    report = run_demo(isic, tmp_path / "out", trainer=SMOKE)
    assert report == tmp_path / "out" / "report.html"
    text = report.read_text()
    assert str(isic) in text and "<td>5 / 1 / 2</td>" in text
    bars = capfd.readouterr().err.replace("\r", "\n")
    for title, end in (("plan", "6/6"), ("train", "1/1"), ("predict", "2/2"), ("evaluate", "2/2")):
        assert [line for line in bars.splitlines() if line.startswith(f"{title}: 100%") and end in line]
