import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from monai_lightseg import __version__
from monai_lightseg.cli.app import app
from monai_lightseg.errors import LightsegError
from nnunet_trainers import activation

ROOT = Path(__file__).resolve().parents[2]
Raise = Callable[[BaseException], None]


def run_lightseg(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in which nnU-Net's variables are not set."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("nnUNet_")}
    code = (
        "import sys; from monai_lightseg.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'monai', 'nnunetv2', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def path_raises(monkeypatch: pytest.MonkeyPatch) -> Raise:
    """Let `lightseg nnunet path` raise."""

    def prepare(error: BaseException) -> None:
        def shim_directory() -> Path:
            raise error

        monkeypatch.setattr(activation, "shim_directory", shim_directory)

    return prepare


def all_commands() -> Iterator[list[str]]:
    waiting = [([], get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words
        for name, below in getattr(command, "commands", {}).items():
            waiting.append(([*words, name], below))


@pytest.mark.parametrize("words", list(all_commands()), ids=" ".join)
def test_help_shows_an_example(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert result.exit_code == 0
    assert "Example: " in result.output


def test_path_is_one_line_without_any_variable() -> None:
    done = run_lightseg("nnunet", "path")
    assert done.stdout == f"{ROOT / 'nnunet_trainers' / 'external'}\n"
    assert (done.stderr, done.returncode) == ("[]\n", 0)


def test_help_imports_nothing_heavy() -> None:
    done = run_lightseg("--help")
    assert (done.stderr, done.returncode) == ("[]\n", 0)


def test_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.output, result.exit_code) == (f"{__version__}\n", 0)


@pytest.mark.parametrize("arguments", [["nonsense"], ["nnunet", "path", "--nonsense"], ["data", "convert"]])
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (2, "")


def test_error_lines_without_traceback(path_raises: Raise) -> None:
    path_raises(LightsegError("first file\nsecond file"))
    result = CliRunner().invoke(app, ["nnunet", "path"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "error: first file\nerror: second file\n"


def test_debug_shows_the_traceback(path_raises: Raise) -> None:
    path_raises(LightsegError("first file"))
    result = CliRunner().invoke(app, ["--debug", "nnunet", "path"])
    assert isinstance(result.exception, LightsegError)


def test_other_errors_are_not_hidden(path_raises: Raise) -> None:
    path_raises(RuntimeError("a fault of ours"))
    result = CliRunner().invoke(app, ["nnunet", "path"])
    assert isinstance(result.exception, RuntimeError)


def test_commands_may_exit(path_raises: Raise) -> None:
    path_raises(typer.Exit(7))
    assert CliRunner().invoke(app, ["nnunet", "path"]).exit_code == 7
