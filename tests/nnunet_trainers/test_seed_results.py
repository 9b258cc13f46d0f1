import json
import math
from pathlib import Path
from typing import Any

import pytest

from monai_lightseg.errors import LightsegError
from nnunet_trainers.seed_results import SeedResult, SeedTable, Spread, is_finished, read_result


def counts(hits: int, false_alarms: int, misses: int) -> dict[str, Any]:
    return {"Dice": 0.5, "TP": hits, "FP": false_alarms, "FN": misses, "TN": 9}


SUMMARY = {
    "foreground_mean": {"Dice": 0.625},
    "mean": {"1": {"Dice": 0.5}, "2": {"Dice": 0.75}},
    "metric_per_case": [
        {"metrics": {"1": counts(8, 1, 3), "2": counts(1, 0, 0)}},
        {"metrics": {"1": counts(2, 5, 1), "2": counts(0, 2, 0)}},
    ],
}


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    (tmp_path / "validation").mkdir()
    (tmp_path / "validation" / "summary.json").write_text(json.dumps(SUMMARY))
    return tmp_path


def test_dice_per_image_and_pooled(fold: Path) -> None:
    # Class 1: 2 * 10 / (20 + 6 + 4), class 2: 2 * 1 / (2 + 2).
    assert read_result(fold, 3) == SeedResult(3, 0.625, pytest.approx((20 / 30 + 2 / 4) / 2))


def test_a_class_that_is_nowhere(fold: Path) -> None:
    nowhere = [{"metrics": {"1": counts(8, 1, 3), "2": counts(0, 0, 0)}}]
    content = SUMMARY | {"foreground_mean": {"Dice": math.nan}, "metric_per_case": nowhere}
    (fold / "validation" / "summary.json").write_text(json.dumps(content))
    result = read_result(fold, 0)
    assert math.isnan(result.mean_dice) and math.isnan(result.pooled_dice)
    written = json.loads(table(result, SeedResult(1, 0.5, 0.5)).write(fold).read_text(), parse_constant=pytest.fail)
    assert written["seeds"][0] == {"seed": 0, "mean_dice": None, "pooled_dice": None}
    assert set(written["over_seeds"]["pooled_dice"].values()) == {None}


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(SUMMARY | {"mean": {"3": {}}})])
def test_a_damaged_summary_is_named(text: str, fold: Path) -> None:
    (fold / "validation" / "summary.json").write_text(text)
    with pytest.raises(LightsegError, match=r"validation/summary\.json has no scores .*run the same command again"):
        read_result(fold, 0)


def test_finished_means_trained_and_validated(fold: Path) -> None:
    assert not is_finished(fold)
    (fold / "checkpoint_final.pth").touch()
    assert is_finished(fold)
    (fold / "validation" / "summary.json").unlink()
    assert not is_finished(fold)


def table(*seeds: SeedResult) -> SeedTable:
    return SeedTable("Dataset018_ISIC", "T", "plans", "2d", "0", list(seeds))


def test_spread(tmp_path: Path) -> None:
    two = table(SeedResult(0, 0.5, 0.75), SeedResult(1, 1.0, 0.25))
    # Of two values a and b, the deviation of a sample is |a - b| / sqrt(2).
    deviation = pytest.approx(0.5 / 2**0.5)
    assert two.over_seeds == {
        "mean_dice": Spread(0.75, deviation, 0.5, 1.0),
        "pooled_dice": Spread(0.5, deviation, 0.25, 0.75),
    }
    assert table(SeedResult(0, 0.5, 0.75)).over_seeds["mean_dice"] == Spread(0.5, None, 0.5, 0.5)


def test_the_file(tmp_path: Path) -> None:
    path = table(SeedResult(0, 0.5, 0.75)).write(tmp_path)
    assert path == tmp_path / "seeds_T__plans__2d__fold_0.json"
    content = json.loads(path.read_text())
    assert content["seeds"] == [{"seed": 0, "mean_dice": 0.5, "pooled_dice": 0.75}]
    assert content["over_seeds"]["pooled_dice"] == {"mean": 0.75, "std": None, "min": 0.75, "max": 0.75}
    assert {name: content[name] for name in ("dataset", "trainer", "plans", "configuration", "fold")} == {
        "dataset": "Dataset018_ISIC",
        **{"trainer": "T", "plans": "plans", "configuration": "2d", "fold": "0"},
    }
    with pytest.raises(LightsegError, match="cannot be written"):
        table(SeedResult(0, 0.5, 0.75)).write(path)
