import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from monai_lightseg import __version__
from monai_lightseg.checkpoints import load_network
from monai_lightseg.cli.app import app
from monai_lightseg.networks import network_card
from tests.checkpoints.authors_files import fixture_of, hollow_weights, training_checkpoint

NAME = "ultralight_vm_unet"


@pytest.fixture
def authors(tmp_path: Path) -> Path:
    """The authors' checkpoint of a network with two branches."""
    path = tmp_path / "latest.pth"
    torch.save(training_checkpoint(hollow_weights(fixture_of("ultralight_vm_unet_x2"))), path)
    return path


def convert(authors: Path, *options: str, network: str = NAME) -> Result:
    out = str(authors.with_name("ours.safetensors"))
    return CliRunner().invoke(app, ["checkpoints", "convert", str(authors), "--network", network, "-o", out, *options])


def show(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["checkpoints", "show", str(path), *options])


def test_convert_and_show(authors: Path) -> None:
    result = convert(authors, "--argument", "branches=2", "--argument", "init=mamba")
    assert result.exit_code == 0, result.output
    out = authors.with_name("ours.safetensors")
    assert result.stdout == f"wrote {out}; look at it with: lightseg checkpoints show {out}\n"
    load_network(out)
    result = show(out, "--json")
    assert result.exit_code == 0
    card = json.loads(result.stdout)
    assert len(card.pop("source_sha256")) == 64
    assert card == {
        "network": NAME,
        "arguments": {"branches": 2, "init": "mamba"},
        "origin": network_card(NAME).origin,
        "licence": network_card(NAME).licence,
        "source": "latest.pth",
        "version": __version__,
    }


def test_show_as_text(authors: Path) -> None:
    assert convert(authors, "--argument", "branches=2").exit_code == 0
    lines = show(authors.with_name("ours.safetensors")).stdout.splitlines()
    fields = dict(line.split(maxsplit=1) for line in lines)
    assert fields["network:"] == NAME
    assert fields["arguments:"] == '{"branches": 2}'
    assert fields["source:"] == "latest.pth"
    assert len({line.index(value) for line, value in zip(lines, fields.values(), strict=True)}) == 1


def test_force(authors: Path) -> None:
    options = ["--argument", "branches=2"]
    assert convert(authors, *options).exit_code == 0
    result = convert(authors, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "exists; give another name, or --force" in result.stderr
    assert convert(authors, *options, "--force").exit_code == 0


def test_another_network_is_refused_with_a_list(authors: Path) -> None:
    result = convert(authors, network="malunet")
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0] == f"error: {authors}: weights do not fit 'malunet':"
    assert lines[1] == f"error: these keys and shapes fit '{NAME}' with {{'branches': 2}}"
    assert lines[2].startswith("error: keys of the given weights that fit nothing: ")
    assert lines[3].startswith("error: keys of the network that nothing fills: ")
    assert all(line.count(", ") == 9 and line.split()[-1] == "more" for line in lines[2:4])
    assert max(map(len, lines)) < 1000
    assert not authors.with_name("ours.safetensors").exists()


def test_a_missing_key_is_refused_by_name(authors: Path) -> None:
    weights = hollow_weights(fixture_of("ultralight_vm_unet_x2"))
    del weights["final.bias"]
    torch.save(weights, authors)
    result = convert(authors, "--argument", "branches=2")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[1:] == ["error: keys of the network that nothing fills: decoder.head.bias"]


def test_a_pickled_network_is_refused_in_one_line(authors: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), authors)
    result = convert(authors)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"error: {authors} was not loaded: it holds a pickled torch.nn.modules.linear.Linear"
    )
    assert len(result.stderr.splitlines()) == 1


def test_unknown_network(authors: Path) -> None:
    result = convert(authors, network="nnunet")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: no network 'nnunet'; there are ")


@pytest.mark.parametrize("option", ["branches", "=2", ""])
def test_an_argument_is_a_name_and_a_value(authors: Path, option: str) -> None:
    result = convert(authors, "--argument", option)
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.stderr


def test_an_argument_twice(authors: Path) -> None:
    result = convert(authors, "--argument", "branches=2", "--argument", "branches=4")
    assert result.exit_code == 2
    assert "given twice" in result.stderr


def test_show_of_a_file_without_a_card(authors: Path) -> None:
    result = show(authors)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {authors} cannot be read as safetensors")
