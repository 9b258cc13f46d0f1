"""From the authors' file to ours and into a network: nothing lost on the way, nothing half-written."""

import hashlib
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from monai_lightseg import __version__
from monai_lightseg.checkpoints import (
    CheckpointCard,
    convert,
    convert_file,
    load_network,
    read_authors_file,
    read_checkpoint_card,
)
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import network_card
from tests.checkpoints.authors_files import (
    FIXTURES,
    assert_same,
    authors_weights,
    fixture_of,
    hollow_weights,
    lightning_checkpoint,
    parallel,
    training_checkpoint,
)

NAME, ARGUMENTS = "ultralight_vm_unet", {"branches": 2}

every_fixture = pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def small():
    return authors_weights(fixture_of("ultralight_vm_unet_x2"))


@pytest.fixture
def source(small, tmp_path):
    torch.save(small, tmp_path / "authors.pth")
    return tmp_path / "authors.pth"


@pytest.fixture
def out(source, tmp_path):
    path = tmp_path / "ours.safetensors"
    convert_file(source, NAME, path, arguments=ARGUMENTS)
    return path


@every_fixture
def test_every_network_from_file_to_file(path, tmp_path):
    fixture = json.loads(path.read_text())
    name, arguments = fixture["network"], fixture["arguments"]
    weights = authors_weights(fixture)
    expected = convert(name, weights, **arguments)
    source, out = tmp_path / "authors.pth", tmp_path / "ours.safetensors"
    for content in (weights, parallel(weights), training_checkpoint(weights)):
        torch.save(content, source)
        assert_same(read_authors_file(source), weights)
    convert_file(source, name, out, arguments=arguments)
    network = load_network(out)
    assert not network.training
    assert_same(network.state_dict(), expected)
    # Megabytes each; pytest keeps the folders.
    source.unlink()
    out.unlink()


@pytest.mark.parametrize("wrap", [dict, parallel, training_checkpoint])
def test_every_nesting_from_file_to_file(wrap, small, tmp_path):
    torch.save(wrap(small), tmp_path / "authors.pth")
    convert_file(tmp_path / "authors.pth", NAME, tmp_path / "ours.safetensors", arguments=ARGUMENTS)
    network = load_network(tmp_path / "ours.safetensors")
    assert_same(network.state_dict(), convert(NAME, small, **ARGUMENTS))


def test_a_lightning_checkpoint_of_ulite(tmp_path):
    weights = authors_weights(fixture_of("ulite"))
    torch.save(lightning_checkpoint(weights), tmp_path / "last.ckpt")
    convert_file(tmp_path / "last.ckpt", "ulite", tmp_path / "ours.safetensors")
    assert_same(load_network(tmp_path / "ours.safetensors").state_dict(), convert("ulite", weights))


def test_paths_may_be_text(source, tmp_path):
    convert_file(str(source), NAME, str(tmp_path / "ours.safetensors"), arguments=ARGUMENTS)
    load_network(str(tmp_path / "ours.safetensors"))


def test_a_converted_file_needs_no_conversion(out, tmp_path):
    with pytest.raises(LightsegError, match=r"ours\.safetensors is already converted; use load_network$"):
        convert_file(out, NAME, tmp_path / "again.safetensors", arguments=ARGUMENTS)


def test_from_safetensors(small, tmp_path):
    save_file(parallel(small), tmp_path / "authors.safetensors")
    convert_file(tmp_path / "authors.safetensors", NAME, tmp_path / "ours.safetensors", arguments=ARGUMENTS)
    network = load_network(tmp_path / "ours.safetensors")
    assert_same(network.state_dict(), convert(NAME, small, **ARGUMENTS))


@every_fixture
def test_a_missing_key_is_refused_for_every_network(path, tmp_path):
    fixture = json.loads(path.read_text())
    weights = hollow_weights(fixture)
    ours = {id(tensor): key for key, tensor in convert(fixture["network"], weights, **fixture["arguments"]).items()}
    lost = ours[id(weights.popitem()[1])]
    source, out = tmp_path / "authors.pth", tmp_path / "ours.safetensors"
    torch.save(weights, source)
    with pytest.raises(LightsegError) as error:
        convert_file(source, fixture["network"], out, arguments=fixture["arguments"])
    title, *problems = str(error.value).splitlines()
    assert title.startswith(f"{source}: weights do not fit '{fixture['network']}'")
    assert problems == [f"keys of the network that nothing fills: {lost}"]
    assert list(tmp_path.iterdir()) == [source]


def test_card(source, out):
    origin = network_card(NAME)
    card = read_checkpoint_card(out)
    assert card == CheckpointCard(
        network=NAME,
        arguments=ARGUMENTS,
        origin=origin.origin,
        licence=origin.licence,
        source="authors.pth",
        source_sha256=hashlib.sha256(source.read_bytes()).hexdigest(),
        version=__version__,
    )
    with safe_open(out, "pt") as file:
        assert file.metadata() == asdict(card) | {"arguments": '{"branches": 2}'}


def test_returns_the_card_it_writes(source, tmp_path):
    path = tmp_path / "new" / "ours.safetensors"
    assert convert_file(source, NAME, path, arguments=ARGUMENTS) == read_checkpoint_card(path)


def test_tuples_are_built_as_they_will_be_read(tmp_path):
    weights = hollow_weights(fixture_of("nmode_unet_hd_cb_r"))
    torch.save(weights, tmp_path / "authors.pth")
    arguments = {"solver": "heun", "ordering": "CB_R", "features": (64, 128, 256, 512, 512)}
    path = tmp_path / "ours.safetensors"
    card = convert_file(tmp_path / "authors.pth", "nmode_unet", path, arguments=arguments)
    assert card.arguments["features"] == [64, 128, 256, 512, 512]
    load_network(path)
    path.unlink()


def test_the_same_bytes_every_time(source, out, tmp_path):
    """Else no checksum of a file could be compared."""
    for run in range(4):
        again = tmp_path / f"{run}.safetensors"
        convert_file(source, NAME, again, arguments=ARGUMENTS)
        assert again.read_bytes() == out.read_bytes()


def test_readable_by_others(out):
    # Others get in by the permissions that new files have here.
    beside = out.with_name("plain")
    beside.touch()
    assert out.stat().st_mode == beside.stat().st_mode


def test_shared_and_strided_memory(tmp_path):
    """MALUNet's attention weights start as one tensor and its transpose; torch.save keeps such pairs together."""
    weights = dict(authors_weights(fixture_of("malunet")))
    seconds = [key for key in weights if key.endswith("linear_1.weight")]
    for key in seconds:
        weights[key] = weights[key.replace("linear_1", "linear_0")].permute(1, 0, 2)
    source, out = tmp_path / "authors.pth", tmp_path / "ours.safetensors"
    torch.save(weights, source)
    read = read_authors_file(source)
    assert len(seconds) == 6
    for key in seconds:
        assert not read[key].is_contiguous()
        assert read[key].data_ptr() == read[key.replace("linear_1", "linear_0")].data_ptr()
    convert_file(source, "malunet", out)
    assert_same(load_network(out).state_dict(), convert("malunet", weights))


def test_half_precision_fills_a_float_network(small, tmp_path):
    weights = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in small.items()}
    torch.save(weights, tmp_path / "authors.pth")
    convert_file(tmp_path / "authors.pth", NAME, tmp_path / "ours.safetensors", arguments=ARGUMENTS)
    assert {tensor.dtype for tensor in load_file(tmp_path / "ours.safetensors").values()} == {torch.float32}


def test_overwriting_has_to_be_asked_for(source, out):
    before = out.read_bytes()
    with pytest.raises(LightsegError, match=r"ours\.safetensors exists; .*--force"):
        convert_file(source, NAME, out, arguments=ARGUMENTS)
    assert out.read_bytes() == before
    out.write_text("old")
    convert_file(source, NAME, out, arguments=ARGUMENTS, overwrite=True)
    load_network(out)


def test_the_source_is_never_overwritten(out):
    before = out.read_bytes()
    with pytest.raises(LightsegError, match="is the file to convert"):
        convert_file(out, NAME, out, arguments=ARGUMENTS, overwrite=True)
    assert out.read_bytes() == before


@pytest.mark.parametrize("when", ["new", "replaced"])
@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_failed_write_leaves_nothing_behind(source, tmp_path, monkeypatch, when, step):
    path = tmp_path / "ours.safetensors"
    if when == "replaced":
        path.write_text("old")

    class FullDisk(io.FileIO):
        def write(self, content):
            super().write(content[:100])
            fail()

    def fail(*_):
        raise OSError(28, "No space left on device")

    def opened_on_a_full_disk(path, mode, **_):
        return FullDisk(path, mode)

    before = sorted(tmp_path.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Path, *(("open", opened_on_a_full_disk) if step == "write" else ("replace", fail)))
        with pytest.raises(LightsegError, match=r"ours\.safetensors cannot be written .*No space left"):
            convert_file(source, NAME, path, arguments=ARGUMENTS, overwrite=True)
    assert sorted(tmp_path.iterdir()) == before
    assert when == "new" or path.read_text() == "old"


def test_folder_in_the_way(source, tmp_path):
    (tmp_path / "ours.safetensors").mkdir()
    with pytest.raises(LightsegError, match="cannot be written"):
        convert_file(source, NAME, tmp_path / "ours.safetensors", arguments=ARGUMENTS, overwrite=True)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "arguments", "file", "message"),
    [
        ("nnunet", {}, "ours.safetensors", r"no network 'nnunet'; there are .*nmode_unet"),
        (NAME, {"branch": 2}, "ours.safetensors", r"ultralight_vm_unet has no argument branch; it has: .*branches"),
        (NAME, {"branches": "two"}, "ours.safetensors", r"cannot be built with \{'branches': 'two'\}"),
        (NAME, {"branches": {2}}, "ours.safetensors", r"cannot be kept as JSON"),
        (NAME, {"name": "x"}, "ours.safetensors", r"has no argument name"),
        (NAME, {}, "ours.pth", r"end its name in \.safetensors"),
        (NAME, {}, "ours.safetensors", r":\nthese keys and shapes fit 'ultralight_vm_unet' with \{'branches': 2\}\n"),
    ],
)
def test_refused(source, tmp_path, name, arguments, file, message):
    with pytest.raises(LightsegError, match=message):
        convert_file(source, name, tmp_path / file, arguments=arguments)
    assert list(tmp_path.iterdir()) == [source]


def rewritten(out, weights=None, **metadata):
    """The file with other weights or metadata; None takes an entry away."""
    kept = asdict(read_checkpoint_card(out)) | {"arguments": json.dumps(ARGUMENTS)} | metadata
    kept = {key: value for key, value in kept.items() if value is not None}
    save_file(load_file(out) if weights is None else weights, out, metadata=kept)
    return out


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"network": None, "licence": None}, r"does not say which network it holds \(no network, licence in"),
        ({"arguments": "{"}, "no JSON object"),
        ({"arguments": "[2]"}, "no JSON object"),
        ({"network": "unknown_net"}, r"no network 'unknown_net'; there are "),
        ({"arguments": '{"arms": 2}'}, "has no argument arms; it has: "),
        ({"arguments": '{"branches": "two"}'}, "cannot be built"),
        ({"arguments": '{"branches": 4}'}, r"weights do not fit 'ultralight_vm_unet':\nshapes that differ: "),
    ],
)
def test_load_network_refuses_other_metadata(out, metadata, message):
    with pytest.raises(LightsegError, match=message) as error:
        load_network(rewritten(out, **metadata))
    assert str(out) in str(error.value)


def test_load_network_says_who_wrote_what_it_does_not_know(out):
    with pytest.raises(LightsegError, match=r"was written by monai-lightseg 99\.0: no network 'later_net'"):
        load_network(rewritten(out, network="later_net", version="99.0"))


def test_load_network_refuses_other_keys(out):
    weights = load_file(out)
    del weights["decoder.head.bias"]
    weights["extra"] = torch.zeros(1)
    with pytest.raises(LightsegError, match=r"fit nothing: extra\n.*nothing fills: decoder\.head\.bias$"):
        load_network(rewritten(out, weights))


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64])
def test_load_network_refuses_other_kinds_of_numbers(out, dtype):
    weights = load_file(out)
    weights["decoder.head.bias"] = weights["decoder.head.bias"].to(dtype)
    with pytest.raises(LightsegError, match=rf"kinds of numbers that differ: decoder\.head\.bias holds {dtype}, "):
        load_network(rewritten(out, weights))


def test_keys_left_over_keep_the_order_of_the_file(out):
    extra = {f"extra{number:02}": torch.zeros(1) for number in range(10)}
    with pytest.raises(LightsegError, match=f"fit nothing: {', '.join(extra)}$"):
        load_network(rewritten(out, load_file(out) | extra))


def test_metadata_of_others_beside_ours(out):
    card = read_checkpoint_card(out)
    assert read_checkpoint_card(rewritten(out, format="pt")) == card


@pytest.mark.parametrize("read", [read_checkpoint_card, load_network])
def test_not_our_files(read, out, tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "plain.safetensors")
    (tmp_path / "text.safetensors").write_text("no tensors here")
    (tmp_path / "cut.safetensors").write_bytes(out.read_bytes()[:-1])
    for file, message in (
        ("plain.safetensors", "does not say which network"),
        ("text.safetensors", "cannot be read as safetensors"),
        ("cut.safetensors", "cannot be read as safetensors"),
        ("none.safetensors", "cannot be read as safetensors .*No such file"),
        ("", "cannot be read as safetensors"),
    ):
        with pytest.raises(LightsegError, match=message) as error:
            read(tmp_path / file)
        assert str(tmp_path / file) in str(error.value)


def test_card_is_frozen(out):
    card = read_checkpoint_card(out)
    with pytest.raises(AttributeError):
        card.network = "other"
    assert replace(card, network="other") != card
