"""What is made from the cards is up to date."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_pages_are_up_to_date():
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_pages.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
