import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from monai_lightseg.cli.app import app


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ([], (None, Path())),
        (["--data", "pictures", "--out", "somewhere"], (Path("pictures"), Path("somewhere"))),
    ],
)
def test_demo(options: list[str], arguments: tuple[Path | None, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def run_demo(data: Path | None, out: Path) -> Path:
        assert (data, out) == arguments
        return out / "report.html"

    monkeypatch.setitem(sys.modules, "monai_lightseg.workflows.demo_run", SimpleNamespace(run_demo=run_demo))
    result = CliRunner().invoke(app, ["demo", *options])
    assert (result.exit_code, result.stdout) == (0, f"{arguments[1] / 'report.html'}\n")
