"""The examples of docs/metrics.md run and print what the page says."""

import re
from pathlib import Path

from monai_lightseg.metrics import METRICS, POOLED_METRICS
from tests.pages import run_examples

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def test_examples():
    namespace = run_examples("metrics.md")
    pixels = {case_id: counts["tp"] + counts["fn"] for case_id, counts in namespace["scores"].counts.items()}
    share = re.search(r"Here (\d+) % of the true pixels", PAGE)
    assert share and int(share.group(1)) == round(100 * pixels["large"] / sum(pixels.values()))


def test_every_score_is_defined():
    rows = re.findall(r"^\| `(\w+)` \| .* \| *(yes)? *\| yes \|$", PAGE, re.MULTILINE)
    assert [name for name, _ in rows] == list(METRICS)
    assert tuple(name for name, pooled in rows if pooled) == POOLED_METRICS
