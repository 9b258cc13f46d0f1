import importlib.metadata
import json
import os
import sys
from pathlib import Path

import pytest
from PIL import Image

from monai_lightseg.errors import LightsegError
from nnunet_trainers import doctor
from nnunet_trainers.activation import VARIABLE, shim_directory
from nnunet_trainers.doctor import Check, check_folder, examine, require_channels, require_splits

SPLIT = [{"train": ["a", "b"], "val": ["c"]}]
NAME = "Dataset018_ISIC"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    made = {variable: tmp_path / variable for variable in doctor.FOLDER_VARIABLES}
    for variable, folder in made.items():
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    monkeypatch.setenv(VARIABLE, str(shim_directory()))
    return made


@pytest.fixture
def dataset(folders: dict[str, Path]) -> dict[str, Path]:
    files = {variable: folder / NAME / "splits_final.json" for variable, folder in folders.items()}
    for variable in ("nnUNet_raw", "nnUNet_preprocessed"):
        files[variable].parent.mkdir()
        files[variable].write_text(json.dumps(SPLIT))
    return files


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert all(bool(check.remedy) != check.ok for check in checks)
    return {check.name: check for check in checks}


def test_all_is_well(
    dataset: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.setenv(VARIABLE, f"/somebody/else{os.pathsep}{shim_directory()}")
    checks = by_name(examine("18"))
    assert [check for check in checks.values() if not check.ok] == []
    assert {"nnUNetTrainerNmODEDecoder", "nnUNetTrainerNmODEDecoderHeun_5epochs", "dataset", "splits"} <= set(checks)
    assert capsys.readouterr().out == ""
    assert os.environ[VARIABLE] == f"/somebody/else{os.pathsep}{shim_directory()}"


@pytest.mark.parametrize("variable", doctor.FOLDER_VARIABLES)
def test_folders(variable: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_folder(variable) == Check(variable, True, str(folders[variable]))
    folders[variable].rmdir()
    assert str(folders[variable]) in check_folder(variable).remedy
    for unset in (lambda: monkeypatch.setenv(variable, ""), lambda: monkeypatch.delenv(variable)):
        unset()
        assert not check_folder(variable).ok
        assert f"export {variable}=" in check_folder(variable).remedy


def test_trainers_out_of_reach(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_check_trainers", list)
    monkeypatch.setenv(VARIABLE, "/somebody/else")
    check = by_name(examine())[VARIABLE]
    assert os.environ[VARIABLE] == "/somebody/else"
    assert not check.ok
    assert "lightseg nnunet path" in check.remedy


def test_another_trainer_of_our_name(folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    from nnunet_trainers import trainers

    decoy = tmp_path / "decoy"
    decoy.mkdir()
    (decoy / "decoy_trainers.py").write_text(
        "from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer\n"
        "class nnUNetTrainerNmODEDecoder(nnUNetTrainer): pass\n"
    )
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(decoy), str(shim_directory())]))
    names = ("nnUNetTrainerNmODEDecoder", "nnUNetTrainerNmODEDecoderHeun")
    some = {name: trainers.trainer_classes()[name] for name in names}
    monkeypatch.setattr(trainers, "trainer_classes", lambda: some)
    bad = [check for check in by_name(examine()).values() if not check.ok]
    assert [check.name for check in bad] == ["nnUNetTrainerNmODEDecoder"]
    assert "decoy_trainers" in bad[0].detail


@pytest.mark.parametrize(
    ("version", "ok"), [(None, False), ("2.7.0", False), ("2.8.0", True), ("2.10.1", True), ("3.0", False)]
)
def test_nnunet_version(version: str | None, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> str:
        if name == "nnunetv2" and version is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return version or "2.8.0"

    monkeypatch.setattr(importlib.metadata, "version", installed)
    monkeypatch.setattr(doctor, "_check_trainers", lambda: [Check("trainers", True, "")])
    checks = by_name(examine("18"))
    assert checks["nnunetv2"].ok == ok
    assert ok or "pip install 'nnunetv2>=2.8,<3'" in checks["nnunetv2"].remedy
    assert ("trainers" in checks) == ok


def test_a_damaged_nnunet_is_a_finding(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.setitem(sys.modules, "nnunet_trainers.trainers", None)
    assert not by_name(examine())["trainers"].ok


def test_split_is_not_where_nnunet_reads_it(dataset: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.setattr(doctor, "_check_trainers", list)
    source, copy = dataset["nnUNet_raw"], dataset["nnUNet_preprocessed"]

    copy.write_text(json.dumps([{"train": ["a"], "val": ["b", "c"]}]))
    with pytest.raises(LightsegError, match="differs"):
        require_splits("18")
    copy.unlink()
    with pytest.raises(LightsegError, match="missing"):
        require_splits(NAME)
    check = by_name(examine("18"))["splits"]
    assert not check.ok
    assert str(source) in check.remedy
    assert str(copy) in check.remedy

    source.unlink()
    require_splits("18")
    assert by_name(examine("18"))["splits"].ok


def test_a_machine_with_preprocessed_data_only(dataset: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.delenv("nnUNet_raw")
    require_splits("18")


@pytest.mark.parametrize("unknown", ["17", "lesions"])
def test_unknown_dataset(unknown: str, dataset: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.setattr(doctor, "_check_trainers", list)
    with pytest.raises(LightsegError, match=unknown):
        require_splits(unknown)
    assert not by_name(examine(unknown))["dataset"].ok


def test_dataset_without_a_raw_folder(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.setattr(doctor, "_check_trainers", list)
    check = by_name(examine(NAME))["dataset"]
    assert not check.ok
    assert str(folders["nnUNet_raw"] / NAME) in check.detail


def test_channels_of_labels_and_images(dataset: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nnunetv2")
    monkeypatch.setattr(doctor, "_check_trainers", list)
    raw = dataset["nnUNet_raw"].parent
    (raw / "dataset.json").write_text(json.dumps({"channel_names": {"0": "R", "1": "G"}, "file_ending": ".png"}))
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir()
    for case in "ab":
        for channel in range(2):
            Image.new("L", (4, 4)).save(raw / "imagesTr" / f"{case}_000{channel}.png")
        Image.new("L", (4, 4)).save(raw / "labelsTr" / f"{case}.png")
    require_channels("18")
    checks = by_name(examine("18"))
    assert checks["labels"] == Check("labels", True, "2 of one channel")
    assert checks["images"] == Check("images", True, "2 of 2 channels")

    Image.new("RGBA", (4, 4)).save(raw / "imagesTr" / "b_0000.png")
    Image.new("RGB", (4, 4)).save(raw / "labelsTr" / "b.png")
    checks = by_name(examine("18"))
    assert checks["labels"].detail == f"labels that have not one channel: {raw}/labelsTr/b.png (3 channels)"
    assert checks["images"].detail.startswith("images that have not the 2 channels of channel_names: ")
    assert "b_0000.png + " in checks["images"].detail
    with pytest.raises(LightsegError, match=r"labelsTr/b\.png \(3 channels\); save them as grey pictures"):
        require_channels("18")

    (raw / "dataset.json").write_text("{")
    assert not by_name(examine("18"))["dataset.json"].ok
