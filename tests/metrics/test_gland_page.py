"""The examples of docs/gland_metrics.md run and print what the page says."""

import json
import re
from pathlib import Path

from tests.pages import run_examples

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gland_metrics.md").read_text()


def test_examples():
    run_examples("gland_metrics.md")


def test_ratios_are_those_of_the_benchmark():
    ways = json.loads((ROOT / "benchmarks" / "results" / "gland_metrics.json").read_text())["ways"]
    table = {name: int(ratio) for name, ratio in re.findall(r"^\| (.*?) \| (\d+) \|$", PAGE, re.MULTILINE)}
    assert len(table) == 4
    assert table == {name: round(ways[name]["time_ratio"]) for name in table}
