"""A report as a list of blocks, and what becomes of them in HTML and in Markdown."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = [
    "Block",
    "Cell",
    "Heading",
    "Paragraph",
    "Picture",
    "Table",
    "as_html",
    "as_markdown",
    "as_text",
    "png_bytes",
]

Cell = str | int | float

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { border: 1px solid #ccc; padding: .25rem .75rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
figure { display: inline-block; margin: .5rem; } figcaption { font-size: 13px; color: #555; }
img { max-width: 100%; }
"""


@dataclass(frozen=True)
class Heading:
    """The title of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a header; without a header where it is empty. Numbers with a fraction are shown to 4 places."""

    header: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]


@dataclass(frozen=True)
class Picture:
    """Pixels, uint8 (height, width, 3), with the name of their file and what stands below; nothing where empty."""

    name: str
    pixels: NDArray[np.uint8]
    caption: str = ""


Block = Heading | Paragraph | Table | Picture


def as_html(title: str, blocks: Sequence[Block]) -> str:
    """One page with everything in it, pictures too."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{escape(title)}</title>",
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
        *map(_html_block, blocks),
        "</body></html>",
    ]
    return "\n".join(parts)


def as_markdown(title: str, blocks: Sequence[Block]) -> str:
    """Markdown that shows each picture from the file `{name}.png` beside it."""
    return "\n\n".join([f"# {_plain(title)}", *map(_markdown_block, blocks)]) + "\n"


def as_text(table: Table) -> str:
    """A table for the terminal: the first column to the left, the others to the right."""
    lines = [table.header, *(tuple(map(_text, row)) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip() for line in lines
    )


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels, uint8 (height, width, 3), as the content of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _html_block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Table(header, rows):
            head = f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in header)}</tr>" if header else ""
            lines = [f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in rows]
            return f"<table>{head}{''.join(lines)}</table>"
        case Picture(name, pixels, caption):
            data = base64.b64encode(png_bytes(pixels)).decode()
            image = f"<img alt='{escape(caption or name)}' src='data:image/png;base64,{data}'>"
            return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>" if caption else image


def _html_cell(cell: Cell) -> str:
    return f"<td>{escape(cell)}</td>" if isinstance(cell, str) else f"<td class='number'>{_text(cell)}</td>"


def _markdown_block(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {_plain(text)}"
        case Paragraph(text):
            return _plain(text)
        case Table(header, rows):
            width = len(rows[0]) if rows else len(header)
            numeric = [bool(rows) and not isinstance(cell, str) for cell in (rows[0] if rows else header)]
            lines = [
                [_plain(cell) for cell in header or ("",) * width],
                ["---:" if number else "---" for number in numeric],
                *([_plain(_text(cell)) for cell in row] for row in rows),
            ]
            return "\n".join(f"| {' | '.join(line)} |" for line in lines)
        case Picture(name, _, caption):
            return f"![{_plain(caption or name)}]({name}.png)" + (f"\n{_plain(caption)}" if caption else "")


def _text(cell: Cell) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)
