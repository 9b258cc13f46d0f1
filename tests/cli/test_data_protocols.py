import hashlib
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from monai_lightseg.cli.data_protocols import protocols
from monai_lightseg.data import list_protocols, load_protocol
from monai_lightseg.errors import LightsegError

app = typer.Typer()
app.command()(protocols)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_table() -> None:
    result = run()
    assert result.exit_code == 0, result.output
    heading, *rows = result.stdout.splitlines()
    assert heading.split() == ["name", "data", "set", "cases", "size"]
    assert [row.split()[0] for row in rows] == list_protocols()
    cells = {row.split()[0]: " ".join(row.split()[1:]) for row in rows}
    assert cells["isic2018-random42"] == "isic2018 1815 train, 259 val, 520 test 256x256"
    assert cells["ph2-5fold"] == "ph2 5 folds of 40 256x256"
    assert cells["ph2-external"] == "ph2 200 test 256x256"
    assert cells["glas-official"] == "glas 75 train, 10 val, 80 test as it is"


@pytest.mark.parametrize("name", list_protocols())
def test_one(name: str) -> None:
    protocol, result = load_protocol(name), run(name)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{name}: {protocol.title}\n")
    for text in (protocol.source, protocol.metric, *protocol.notes, *protocol.checksums().values()):
        assert text in result.stdout
    assert ("images bilinear of Pillow, which averages when it shrinks, masks nearest" in result.stdout) == (
        protocol.image_size is not None
    )


def test_official_parts_and_missing_checksums_are_said() -> None:
    lines = run("isic2018-official").stdout.splitlines()
    assert "test: 1000 cases, official part Test, no checksum" in lines
    assert any(line.startswith("train: 2594 cases, official part Training, sha256 b6a11f") for line in lines)


def test_ids_have_the_checksum_that_is_printed() -> None:
    printed = run("isic2018-random42", "--ids", "test").stdout
    assert hashlib.sha256(printed.encode()).hexdigest() == load_protocol("isic2018-random42").checksums()["test"]
    assert run("ph2-5fold", "--ids", "fold4").stdout.split() == list(load_protocol("ph2-5fold").ids("fold4"))


def test_json(tmp_path: Path) -> None:
    listed = json.loads(run("--json").stdout)
    assert [one["name"] for one in listed] == list_protocols()
    assert listed[0]["parts"]["val"].keys() == {"count", "sha256"}
    # What is printed of one protocol is a file of that protocol.
    path = tmp_path / "own.json"
    path.write_text(run("ph2-5fold", "--json").stdout)
    assert load_protocol(path) == load_protocol("ph2-5fold")
    assert run(str(path)).stdout == run("ph2-5fold").stdout
    of_part = json.loads(run("glas-official", "--ids", "val", "--json").stdout)
    assert of_part == list(load_protocol("glas-official").ids("val"))


@pytest.mark.parametrize("arguments", [("--ids", "test"), ("ph2-5fold", "--ids", "test")])
def test_usage_errors(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("arguments", [("isic2018-rnd42",), ("isic2018-official", "--ids", "val"), ("none.json",)])
def test_errors(arguments: tuple[str, ...]) -> None:
    assert isinstance(run(*arguments).exception, LightsegError)
