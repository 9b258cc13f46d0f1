"""Tables in the terminal."""

from collections.abc import Collection, Iterable, Sequence

__all__ = ["in_columns"]


def in_columns(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[str] = ()) -> str:
    """Headings and rows as text, one line each.

    Args:
        headings: of the columns.
        rows: a text per column.
        numbers: headings of the columns that are aligned to the right.
    """
    lines = [headings, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligns = [str.rjust if heading in numbers else str.ljust for heading in headings]
    return "\n".join(
        "  ".join(align(text, width) for align, text, width in zip(aligns, line, widths, strict=True)).rstrip()
        for line in lines
    )
