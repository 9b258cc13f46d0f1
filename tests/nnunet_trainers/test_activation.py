import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from monai_lightseg.errors import LightsegError
from nnunet_trainers.activation import (
    VARIABLE,
    activate,
    disable,
    enable,
    is_enabled,
    shim_directory,
    startup_file,
)

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(folder) if name == "purelib" else None)
    return folder


def run_python(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that reads no start-up file of its own and knows no installed package."""
    kept = {key: value for key, value in os.environ.items() if key not in (VARIABLE, "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-S", "-c", code], env=kept | environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def start_with(site_packages: Path, *on_path: Path) -> subprocess.CompletedProcess[str]:
    """Start Python, read the start-up files of the folder as a start does, and print the variable."""
    code = f"import os, site; site.addsitedir({str(site_packages)!r}); print(os.environ.get({VARIABLE!r}))"
    return run_python(code, site_packages, PYTHONPATH=os.pathsep.join(map(str, on_path)))


def test_shim_directory_holds_one_module() -> None:
    assert [path.name for path in shim_directory().glob("*.py")] == ["lightseg_trainer_shim.py"]
    assert shim_directory() == shim_directory().resolve()


@pytest.mark.parametrize("value", [None, "", " ", os.pathsep])
def test_activate_sets_an_empty_variable(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "to be restored")
    if value is None:
        monkeypatch.delenv(VARIABLE)
    else:
        monkeypatch.setenv(VARIABLE, value)
    activate()
    assert os.environ[VARIABLE] == str(shim_directory())


def test_activate_appends_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/somebody/else")
    activate()
    activate()
    assert os.environ[VARIABLE].split(os.pathsep) == ["/somebody/else", str(shim_directory())]


@pytest.mark.parametrize("module", ["nnunet_trainers", "nnunet_trainers.activation"])
def test_import_is_light(module: str, tmp_path: Path) -> None:
    code = (
        f"import sys, {module}; print(sorted({{'torch', 'nnunetv2', 'monai_lightseg', 'typing'}} & set(sys.modules)))"
    )
    done = run_python(code, tmp_path, PYTHONPATH=str(ROOT))
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_enable_and_disable(site_packages: Path) -> None:
    assert not is_enabled()
    assert disable() is None
    assert enable() == startup_file() == site_packages / "zz_lightseg_nnunet.pth"
    assert is_enabled()
    assert [path.name for path in site_packages.iterdir()] == ["zz_lightseg_nnunet.pth"]
    assert disable() == site_packages / "zz_lightseg_nnunet.pth"
    assert not is_enabled()


def test_a_start_activates(site_packages: Path) -> None:
    enable()
    done = start_with(site_packages, ROOT)
    assert (done.stdout, done.stderr, done.returncode) == (f"{shim_directory()}\n", "", 0)


def test_a_start_activates_an_editable_install(site_packages: Path) -> None:
    (site_packages / "_monai_lightseg.pth").write_text(f"{ROOT}\n")
    (site_packages / "z_last_of_the_others.pth").write_text("")
    enable()
    assert start_with(site_packages).stdout == f"{shim_directory()}\n"


def test_a_start_without_the_package_is_silent(site_packages: Path, tmp_path: Path) -> None:
    enable()
    # What an uninstall leaves where caches were written: a folder of that name, without our module.
    (tmp_path / "nnunet_trainers" / "__pycache__").mkdir(parents=True)
    for on_path in ((), (tmp_path,)):
        done = start_with(site_packages, *on_path)
        assert (done.stdout, done.stderr, done.returncode) == ("None\n", "", 0)


def test_site_packages_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / "file" / "site-packages"))
    with pytest.raises(LightsegError, match=r'export nnUNet_extTrainer="\$\(lightseg nnunet path\)'):
        enable()
    with pytest.raises(LightsegError, match="cannot be written or removed"):
        disable()
