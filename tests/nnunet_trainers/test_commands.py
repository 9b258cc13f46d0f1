import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from monai_lightseg.errors import LightsegError
from nnunet_trainers.activation import VARIABLE, shim_directory
from nnunet_trainers.commands import TRAINING_PROCESS, predict, train, train_seeds

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


def test_train_refuses_labels_of_three_channels(calls: list[list[str]], tmp_path: Path) -> None:
    raw = tmp_path / "nnUNet_raw" / NAME
    (raw / "labelsTr").mkdir()
    (raw / "dataset.json").write_text(json.dumps({"channel_names": {"0": "R"}, "file_ending": ".png"}))
    Image.new("RGB", (4, 4)).save(raw / "labelsTr" / "a.png")
    with pytest.raises(
        LightsegError, match=rf"{re.escape(str(raw))}/labelsTr/a\.png \(3 channels\); save them as grey"
    ):
        train(TRAIN)
    assert calls == []
    Image.new("L", (4, 4)).save(raw / "labelsTr" / "a.png")
    train(TRAIN)


class Trainings:
    """In place of the processes that train: what they are given, and the results they leave."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.commands: list[list[str]] = []
        self.failing = ""

    def __call__(self, command: list[str], check: bool) -> SimpleNamespace:
        assert command[:2] == [sys.executable, "-c"]
        assert os.environ[VARIABLE] == str(shim_directory())
        self.commands.append(command[3:])
        trainer = command[-1]
        if trainer == self.failing:
            return SimpleNamespace(returncode=7)
        folder = self.results / NAME / f"{trainer}__nnUNetPlans__2d" / "fold_0"
        (folder / "validation").mkdir(parents=True, exist_ok=True)
        (folder / "checkpoint_final.pth").touch()
        dice = int(trainer[-1]) / 8
        scores = {"Dice": dice, "TP": 1, "FP": 1, "FN": 1}
        summary = {"foreground_mean": scores, "mean": {"1": scores}, "metric_per_case": [{"metrics": {"1": scores}}]}
        (folder / "validation" / "summary.json").write_text(json.dumps(summary))
        return SimpleNamespace(returncode=0)


@pytest.fixture
def trainings(calls: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    made = Trainings(tmp_path / "nnUNet_results")
    monkeypatch.setattr(subprocess, "run", made)
    return made


ULITE = "nnUNetTrainerULite_5epochs"


def test_seeds_run_one_after_the_other(trainings: Trainings) -> None:
    arguments = ["18", "2d", "0", "-tr", ULITE, "-device", "cpu", "--c"]
    table, path = train_seeds(arguments, 3)
    assert trainings.commands == [[*arguments, "-tr", f"{ULITE}_seed{seed}"] for seed in range(3)]
    assert [(result.seed, result.mean_dice, result.pooled_dice) for result in table.seeds] == [
        (0, 0.0, 0.5),
        (1, 0.125, 0.5),
        (2, 0.25, 0.5),
    ]
    assert table.over_seeds["mean_dice"].mean == 0.125
    assert path == trainings.results / NAME / f"seeds_{ULITE}__nnUNetPlans__2d__fold_0.json"
    assert path.is_file()


def test_the_process_that_trains_is_nnunets_command() -> None:
    pytest.importorskip("nnunetv2")
    help_page = subprocess.run(
        [sys.executable, "-c", TRAINING_PROCESS, "-h"], capture_output=True, text=True, check=True
    )
    assert "-pretrained_weights" in help_page.stdout


def test_seeds_that_are_there_are_not_trained_again(trainings: Trainings) -> None:
    arguments = ["18", "2d", "0", "-tr", ULITE, "-device", "cpu"]
    train_seeds(arguments, 2)
    (trainings.results / NAME / f"{ULITE}_seed0__nnUNetPlans__2d" / "fold_0" / "validation" / "summary.json").unlink()
    trainings.commands.clear()
    trainings.failing = f"{ULITE}_seed2"
    with pytest.raises(LightsegError, match=r"seed 2 failed \(exit 7\), .*--c"):
        train_seeds(arguments, 3)
    assert [command[-1] for command in trainings.commands] == [f"{ULITE}_seed0", f"{ULITE}_seed2"]


@pytest.mark.parametrize(
    ("arguments", "seeds", "said"),
    [
        (["18", "2d", "0", "-tr", ULITE], 0, "--seeds is 0; give 1 or more"),
        (["18", "2d", "0", "-tr", f"{ULITE}_seed1"], 2, f"without a seed in its name, .*such as -tr {ULITE}$"),
        (["18", "2d", "0"], 2, "needs a trainer of monai-lightseg .*, not nnUNetTrainer;"),
        (["18", "2d", "0", "-tr", "nnUNetTrainer_5epochs"], 2, "needs a trainer of monai-lightseg"),
        (["18", "2d", "0", "-tr", ULITE, "--val"], 2, "--val does not go with --seeds"),
        (["18", "2d", "0", "-tr", ULITE, "--val_best"], 2, "--val_best does not go with --seeds"),
        (["18", "2d", "0", "-tr", ULITE, "--disable_checkpointing"], 2, "--disable_checkpointing does not go"),
        (["18", "2d", "-tr", ULITE], 2, "give dataset, configuration and fold, such as 18 2d 0, not '18 2d'"),
        (["17", "2d", "0", "-tr", ULITE], 2, "dataset '17'"),
        (["18", "2d", "0", "-tr", ULITE, "-p", "Other"], 2, r"Other\.json does not exist"),
    ],
)
def test_seeds_are_refused(arguments: list[str], seeds: int, said: str, trainings: Trainings) -> None:
    with pytest.raises(LightsegError, match=said) as error:
        train_seeds(arguments, seeds)
    assert "\n" not in str(error.value)
    assert trainings.commands == []
