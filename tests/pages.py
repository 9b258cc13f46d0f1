"""The Python examples of a page of the documentation."""

import contextlib
import io
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def run_examples(name: str) -> dict[str, Any]:
    """Run them one after the other and check that they print what the page's text block says; return their names."""
    page = (DOCS / name).read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
            exec(block, namespace)
    (shown,) = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    assert printed.getvalue() == shown
    return namespace
