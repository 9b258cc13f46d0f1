import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nnunetv2")

from monai_lightseg.errors import LightsegError
from nnunet_trainers.base import nnUNetTrainerLightseg
from nnunet_trainers.split_check import require_fold
from tests.nnunet_trainers import test_trainers
from tests.nnunet_trainers.test_trainers import Make

folders, make = test_trainers.folders, test_trainers.make

GOOD = {"train": ["a", "b"], "val": ["c", "d"]}
FAULTS = [
    ([GOOD, {"train": ["a", "b"], "val": ["b", "a"]}], "fold 1 has cases in train and in val.*: a, b$"),
    ([GOOD, {"train": ["a", "x"], "val": ["y"]}], "fold 1 names cases that were not preprocessed.*: x, y$"),
    ([GOOD, {"train": ["a"], "val": []}], "fold 1 is no .* with ids in both"),
    ([GOOD, {"train": [], "val": ["a"]}], "fold 1 is no .* with ids in both"),
    ([GOOD, {"train": ["a"]}], "fold 1 is no"),
    ([GOOD, {"train": "ab", "val": ["c"]}], "fold 1 is no"),
    ([GOOD, {"train": [1], "val": ["c"]}], "fold 1 is no"),
    ([GOOD, ["a", "b"]], "fold 1 is no"),
    ({"0": GOOD, "1": GOOD}, "fold 1 is no"),
    ([GOOD], "has folds 0 to 0, not 1: nnU-Net would make a random split instead"),
    ([], "has no folds, not 1"),
]


def file_of(made: nnUNetTrainerLightseg) -> Path:
    return Path(made.preprocessed_dataset_folder_base) / "splits_final.json"


@pytest.mark.parametrize(("content", "said"), FAULTS, ids=[said[:25] for _, said in FAULTS])
def test_a_fault_is_one_line_that_names_the_file(content: Any, said: str, make: Make) -> None:
    made = make(nnUNetTrainerLightseg)
    made.fold = 1
    file_of(made).write_text(json.dumps(content))
    with pytest.raises(LightsegError, match=f"^{re.escape(str(file_of(made)))}.*{said}") as error:
        made.do_split()
    assert "\n" not in str(error.value)


def test_good_folds_are_those_of_nnunet(make: Make) -> None:
    made = make(nnUNetTrainerLightseg)
    other = {"train": ["d"], "val": ["a"], "test": ["z"]}
    file_of(made).write_text(json.dumps([GOOD, other]))
    for made.fold, expected in enumerate([GOOD, other]):
        assert made.do_split() == (expected["train"], expected["val"])


def test_cases_are_not_looked_for_where_they_are_not_known(tmp_path: Path) -> None:
    require_fold(tmp_path, 7)
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["x"], "val": ["y"]}]))
    require_fold(tmp_path, 0)


def test_the_fold_all_needs_no_file(make: Make) -> None:
    made = make(nnUNetTrainerLightseg)
    made.fold = "all"
    file_of(made).write_text("[]")
    train, val = made.do_split()
    assert sorted(train) == sorted(val) == ["a", "b", "c", "d"]


def test_without_any_file_nnunet_writes_one_of_five_folds(make: Make) -> None:
    made = make(nnUNetTrainerLightseg)
    file_of(made).unlink()
    made.fold = 5
    # Fewer cases than folds would end in an error of scikit-learn.
    for name in "efgh":
        for file in Path(made.preprocessed_dataset_folder).glob("a*"):
            (file.parent / file.name.replace("a", name, 1)).write_bytes(file.read_bytes())
    with pytest.raises(LightsegError, match="has folds 0 to 4, not 5"):
        made.do_split()
    made.fold = 4
    train, val = made.do_split()
    assert sorted(train + val) == list("abcdefgh")


def test_the_split_of_the_raw_dataset_is_not_passed_over(make: Make, folders: Path) -> None:
    made = make(nnUNetTrainerLightseg)
    raw = folders / "nnUNet_raw" / "Dataset998_Test"
    raw.mkdir()
    (raw / "splits_final.json").write_text(json.dumps([GOOD]))
    assert made.do_split() == (GOOD["train"], GOOD["val"])
    (raw / "splits_final.json").write_text(json.dumps([GOOD, GOOD]))
    with pytest.raises(LightsegError, match="differs"):
        made.do_split()
    file_of(made).unlink()
    with pytest.raises(LightsegError, match=r"splits_final\.json is missing and nnU-Net would make its own split"):
        made.do_split()
    assert not file_of(made).exists()
    made.fold = "all"
    made.do_split()


def test_training_stops_before_the_first_epoch(make: Make) -> None:
    made = make(nnUNetTrainerLightseg)
    made.fold = 1
    with pytest.raises(LightsegError, match="has folds 0 to 0, not 1"):
        made.run_training()
    assert made.current_epoch == 0
