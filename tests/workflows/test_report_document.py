import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.workflows.report_document import Heading, Paragraph, Picture, Table, as_html, as_markdown

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
BLOCKS = [
    Heading("a & b"),
    Paragraph("x < y | z"),
    Table(("case", "dice", "left out"), [("c_1", 0.5, 2), ("<b>", float("nan"), 0)]),
    Table((), [("only", "two")]),
    Picture("plain", PIXELS),
    Picture("named", PIXELS, "it's <here>"),
]


def test_html() -> None:
    html = as_html("title & more", BLOCKS)
    assert html.startswith("<!doctype html>")
    assert "<h1>title &amp; more</h1>" in html
    assert "<h2>a &amp; b</h2>" in html
    assert "<p>x &lt; y | z</p>" in html
    assert "<tr><td>c_1</td><td class='number'>0.5000</td><td class='number'>2</td></tr>" in html
    assert "<td>&lt;b&gt;</td><td class='number'>nan</td>" in html
    assert "<table><tr><td>only</td><td>two</td></tr></table>" in html
    assert html.count("<figure>") == 1
    assert "<figcaption>it&#x27;s &lt;here&gt;</figcaption>" in html


def test_html_pictures_are_inside() -> None:
    sources = re.findall(r"src='data:image/png;base64,([^']+)'", as_html("title", BLOCKS))
    assert len(sources) == 2
    for source in sources:
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(source)))), PIXELS)


def test_markdown() -> None:
    lines = as_markdown("title", BLOCKS).splitlines()
    assert lines[0] == "# title"
    assert "## a & b" in lines
    assert r"x \< y \| z" in lines
    table = lines.index("| case | dice | left out |")
    assert lines[table + 1 : table + 4] == [
        "| --- | ---: | ---: |",
        r"| c\_1 | 0.5000 | 2 |",
        r"| \<b\> | nan | 0 |",
    ]
    assert lines[lines.index("| only | two |") - 2 :][:2] == ["|  |  |", "| --- | --- |"]
    assert "![plain](plain.png)" in lines
    assert r"![it's \<here\>](named.png)" in lines


@pytest.mark.parametrize("render", [as_html, as_markdown])
def test_table_without_rows(render: object) -> None:
    assert "case" in render("title", [Table(("case",), [])])  # type: ignore[operator]
