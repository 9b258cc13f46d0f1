import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
import torch

from monai_lightseg.errors import LightsegError
from nnunet_trainers.activation import VARIABLE, shim_directory
from nnunet_trainers.commands import predict, train

NAME = "Dataset018_ISIC"
TRAIN = ["18", "2d", "0", "-tr", "nnUNetTrainerNmODEDecoder_5epochs", "-device", "cpu", "--c"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The argument lists that reach nnU-Net, with one preprocessed dataset around."""
    run_training = pytest.importorskip("nnunetv2.run.run_training")
    predicting = pytest.importorskip("nnunetv2.inference.predict_from_raw_data")
    for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / variable / NAME).mkdir(parents=True)
        monkeypatch.setenv(variable, str(tmp_path / variable))
    (tmp_path / "nnUNet_preprocessed" / NAME / "nnUNetPlans.json").write_text("{}")
    monkeypatch.setenv(VARIABLE, "")
    seen: list[list[str]] = []

    def entry() -> None:
        assert os.environ[VARIABLE] == str(shim_directory())
        seen.append(list(sys.argv))

    monkeypatch.setattr(run_training, "run_training_entry", entry)
    monkeypatch.setattr(predicting, "predict_entry_point", entry)
    return seen


def test_train_passes_arguments_as_they_are(calls: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    before = list(sys.argv)
    train(TRAIN)
    assert calls == [["nnUNetv2_train", *TRAIN]]
    assert sys.argv == before
    assert capsys.readouterr().err == ""


def test_predict_passes_arguments_as_they_are(calls: list[list[str]], tmp_path: Path) -> None:
    (tmp_path / "nnUNet_results" / NAME / "nnUNetTrainer__nnUNetPlans__2d").mkdir()
    arguments = ["-i", str(tmp_path), "-o", "out", "-d", "18", "-c", "2d", "-f", "0", "1", "-device=cpu"]
    predict(arguments)
    assert calls == [["nnUNetv2_predict", *arguments]]


def test_sys_argv_comes_back_after_an_error(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    def entry() -> None:
        raise SystemExit(2)

    monkeypatch.setattr("nnunetv2.run.run_training.run_training_entry", entry)
    before = sys.argv
    with pytest.raises(SystemExit):
        train(TRAIN)
    assert sys.argv is before


@pytest.mark.parametrize(("cuda", "mps", "added"), [(True, False, []), (False, True, ["mps"]), (False, False, ["cpu"])])
def test_device_without_cuda(
    cuda: bool,
    mps: bool,
    added: list[str],
    calls: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    train(["18", "2d", "0"])
    predict(["-o", "out"])
    options = ["-device", *added] if added else []
    assert calls == [["nnUNetv2_train", *options, "18", "2d", "0"], ["nnUNetv2_predict", *options, "-o", "out"]]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (2 if added else 0)
    assert all(f"-device {added[0]}" in line for line in lines)


@pytest.mark.parametrize("arguments", [TRAIN, ["-tr", "nnUNetTrainer", "--npz", "-device", "cpu", "18", "2d", "0"]])
def test_train_refuses_a_split_that_nnunet_would_not_use(
    arguments: list[str], calls: list[list[str]], tmp_path: Path
) -> None:
    split = tmp_path / "nnUNet_raw" / NAME / "splits_final.json"
    split.write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))
    with pytest.raises(LightsegError, match=r"nnUNet_preprocessed.*splits_final\.json is missing"):
        train(arguments)
    assert calls == []


@pytest.mark.parametrize("option", [["-p", "Other"], ["-p=Other"]])
def test_train_needs_the_plans(option: list[str], calls: list[list[str]]) -> None:
    with pytest.raises(LightsegError, match=r"Other\.json does not exist: run `nnUNetv2_plan_and_preprocess -d 18"):
        train([*TRAIN, *option])
    assert calls == []


def test_train_without_arguments_is_left_to_nnunet(calls: list[list[str]]) -> None:
    train(["-h", "-device", "cpu"])
    assert calls == [["nnUNetv2_train", "-h", "-device", "cpu"]]


@pytest.mark.parametrize("variable", ["nnUNet_preprocessed", "nnUNet_results"])
def test_missing_variable(variable: str, calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variable)
    with pytest.raises(LightsegError, match=f"{variable} is not set: export {variable}=/"):
        train(TRAIN)
    assert calls == []


def test_missing_nnunet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for command in (train, predict):
        with pytest.raises(LightsegError, match=r"pip install 'nnunetv2>=2.8,<3'"):
            command(TRAIN)


@pytest.mark.parametrize("fold", ["1", "7"])
def test_train_refuses_a_fold_the_split_does_not_have(fold: str, calls: list[list[str]]) -> None:
    splits = Path(os.environ["nnUNet_preprocessed"]) / NAME / "splits_final.json"
    splits.write_text(json.dumps([{"train": ["a"], "val": ["b"]}]))
    with pytest.raises(LightsegError, match=f"folds 0 to 0, not {fold}"):
        train(["18", "2d", fold, *TRAIN[3:]])
    train(TRAIN)
    train(["18", "2d", "all", *TRAIN[3:]])
    assert len(calls) == 2


def test_train_suggests_a_trainer(calls: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LightsegError, match="did you mean nnUNetTrainerNmODEDecoder_5epochs"):
        train(["18", "2d", "0", "-tr", "nnUNetTrainerNmODEDecoder_5epoch"])
    assert capsys.readouterr().out == ""
    assert calls == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-i", "/not/there", "-d", "18", "-c", "2d"], "/not/there is no folder"),
        (["-d", "18", "-c", "2d", "-tr", "nnUNetTrainerNmODEDecoder"], "nnUNetTrainerNmODEDecoder__nnUNetPlans__2d"),
        (["-d", "19", "-c", "2d"], "'19'"),
    ],
)
def test_predict_refuses_what_is_not_there(arguments: list[str], said: str, calls: list[list[str]]) -> None:
    with pytest.raises(LightsegError, match=said):
        predict(arguments)
    assert calls == []


def test_help_of_nnunet_needs_nothing(calls: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_results")
    train(["-h"])
    predict(["-h"])
    assert [arguments[-1] for arguments in calls] == ["-h", "-h"]
