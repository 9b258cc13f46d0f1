import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_lightseg.checkpoints import CheckpointCard
from monai_lightseg.checkpoints.network_file import write_network_file
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import create_network
from monai_lightseg.workflows import (
    bundle_folder,
    bundle_receipt,
    bundles,
    bundles_folder,
    copy_bundle,
    list_bundles,
    load_bundle,
)
from monai_lightseg.workflows.bundles import last_checkpoint
from tests.folders import content

NETWORK = "ultralight_vm_unet"
RECEIPT = {"network": NETWORK, "parameters": 49457}
Write = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of the package's own."""
    folder = tmp_path / "site" / "monai_lightseg"
    folder.mkdir(parents=True)
    monkeypatch.setattr(bundles, "_PACKAGE", folder)
    return folder


@pytest.fixture
def write_bundle(package: Path) -> Write:
    """Writes a bundle as a wheel has it."""

    def write(name: str, receipt: dict[str, Any] | None = None) -> Path:
        folder = package / "bundles" / name
        for inside in ("configs", "models"):
            (folder / inside).mkdir(parents=True)
        (folder / "configs" / "metadata.json").write_text("{}")
        (folder / "models" / "model.pt").write_bytes(bytes(range(256)))
        if receipt is not None:
            (folder / "models" / "receipt.json").write_text(json.dumps(receipt))
        return folder

    return write


def write_weights(folder: Path, **arguments: Any) -> None:
    """Weights of a network of four branches, and a card that asks for a network with `arguments`."""
    card = CheckpointCard(NETWORK, arguments, origin="", licence="", source="", source_sha256="", version="0")
    write_network_file(create_network(NETWORK), card, folder / "models" / "model.safetensors")


def test_installed_bundles_lie_inside_the_package(package: Path, write_bundle: Write) -> None:
    beside = package.parent / "bundles"
    (beside / "other" / "configs").mkdir(parents=True)
    (beside / "other" / "configs" / "metadata.json").write_text("{}")
    assert (bundles_folder(), list_bundles()) == (beside, ["other"])  # a checkout
    folder = write_bundle("isic_b")
    write_bundle("isic_a")
    assert (bundles_folder(), list_bundles()) == (folder.parent, ["isic_a", "isic_b"])


def test_what_makes_the_bundles_is_none(write_bundle: Write) -> None:
    folder = write_bundle("isic_a").parent
    (folder / "templates" / "skin").mkdir(parents=True)
    (folder / "templates" / "skin" / "train.json").write_text("{}")
    (folder / "make_bundles.py").write_text("")
    assert list_bundles() == ["isic_a"]


def test_names(write_bundle: Write) -> None:
    folder = write_bundle("isic_lesion_ulite")
    write_bundle("glas_gland_unode")
    assert bundle_folder("isic_lesion_ulite") == folder
    with pytest.raises(LightsegError, match="no bundle is called 'isic_ulite'; did you mean 'isic_lesion_ulite'"):
        bundle_folder("isic_ulite")
    with pytest.raises(LightsegError, match="there are glas_gland_unode, isic_lesion_ulite"):
        bundle_folder("../xyz")


def test_receipt(write_bundle: Write) -> None:
    write_bundle("trained", RECEIPT)
    write_bundle("untrained")
    assert (bundle_receipt("trained"), bundle_receipt("untrained")) == (RECEIPT, {})


def test_load_builds_what_the_weights_say(write_bundle: Write) -> None:
    write_weights(write_bundle("good"))
    network = load_bundle("good", torch.device("cpu"))
    assert not network.training
    assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1, 32, 32)


def test_load_refuses_weights_that_do_not_fit(write_bundle: Write) -> None:
    write_weights(write_bundle("other_branches"), branches=2)
    with pytest.raises(LightsegError, match=r"model.safetensors: weights do not fit 'ultralight_vm_unet'"):
        load_bundle("other_branches")
    write_bundle("untrained")
    with pytest.raises(LightsegError, match=r"untrained.models.model.safetensors cannot be read"):
        load_bundle("untrained")


def test_copy_is_complete_and_can_be_written(write_bundle: Write, tmp_path: Path) -> None:
    source = write_bundle("isic_a", RECEIPT)
    for path in source.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    out = copy_bundle("isic_a", tmp_path / "new" / "mine")
    assert out == tmp_path / "new" / "mine"
    assert content(out) == content(source)
    assert len(content(out)) == 3
    assert all(path.stat().st_mode & 0o200 for path in out.rglob("*"))


def test_copy_replaces_nothing(write_bundle: Write, tmp_path: Path) -> None:
    write_bundle("isic_a")
    kept = tmp_path / "mine" / "notes"
    kept.parent.mkdir()
    kept.write_text("")
    with pytest.raises(LightsegError, match="mine exists; give a new folder"):
        copy_bundle("isic_a", kept.parent)
    assert list(kept.parent.iterdir()) == [kept]
    with pytest.raises(LightsegError, match="exists; give a new folder"):
        copy_bundle("isic_a", kept)
    with pytest.raises(LightsegError, match="cannot be written"):
        copy_bundle("isic_a", kept / "below_a_file")


def test_copy_that_fails_leaves_nothing(write_bundle: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle("isic_a")
    written = []

    def full_disk(path: Path, _: bytes) -> None:
        if written:
            raise OSError("No space left on device")
        written.append(path)

    monkeypatch.setattr(bundles, "write_bytes", full_disk)
    with pytest.raises(LightsegError, match="No space left on device"):
        copy_bundle("isic_a", tmp_path / "out" / "mine")
    assert written
    assert list((tmp_path / "out").iterdir()) == []


def test_last_checkpoint_is_that_of_the_highest_epoch(tmp_path: Path) -> None:
    with pytest.raises(LightsegError, match=r"has no checkpoint_epoch=N.pt"):
        last_checkpoint(tmp_path)
    for epoch in (9, 10):
        (tmp_path / f"checkpoint_epoch={epoch}.pt").touch()
    assert last_checkpoint(tmp_path) == (10, tmp_path / "checkpoint_epoch=10.pt")


def test_names_of_the_bundles() -> None:
    assert list_bundles() == [
        "glas_gland_unode",
        "isic_lesion_nmode_unet",
        "isic_lesion_ultralight_vm_unet",
    ]
