"""The example runs as it stands, and keeps every encoder tensor."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "slim_any_network.py"


def test_slim_any_network():
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if "->" in line]
    assert len(rows) >= 3
    for row in rows:
        kept, of_all = row.split()[-2].split("/")
        assert kept == of_all
        assert float(row.split()[-1]) < 1e-5
