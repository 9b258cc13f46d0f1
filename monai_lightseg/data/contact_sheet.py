"""Many cases on one picture, to be looked over."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from monai_lightseg.atomic import write_bytes
from monai_lightseg.data.cases import Case
from monai_lightseg.errors import LightsegError

__all__ = ["check_sheet_path", "contact_sheet", "draw_cases", "write_contact_sheet"]

_TILE = 192  # side of the square that a thumbnail fits into
_GAP = 4
_CAPTION = 16  # height of the line below
_COLUMNS = 8
_OUTLINE = (0, 255, 90)
_PAPER, _INK = (24, 24, 24), (235, 235, 235)


def draw_cases(cases: Sequence[Case], count: int = 48, *, seed: int = 0) -> list[Case]:
    """Draw cases evenly: one at random from each of `count` stretches of the list, in its order.

    Args:
        cases: the cases, all of which are returned where there are no more than `count`.
        count: how many, 1 or more.
        seed: 0 or more.
    """
    if len(cases) <= count:
        return list(cases)
    edges = np.linspace(0, len(cases), count + 1).astype(int)
    return [cases[place] for place in np.random.default_rng(seed).integers(edges[:-1], edges[1:]).tolist()]


def check_sheet_path(path: Path, cases: Sequence[Case]) -> None:
    """Check that a sheet can go to `path` without harm to the cases.

    Raises:
        LightsegError: the folder of `path` is not there, or holds files of the cases.
    """
    folder = path.parent.resolve()
    if not folder.is_dir():
        raise LightsegError(f"{path} cannot be written, {path.parent} is no folder; make it first")
    sources = {file.parent for case in cases for file in case.paths}
    if folder in {source.resolve() for source in sources}:
        raise LightsegError(f"{path} would lie among the files of the data set; choose another folder")


def write_contact_sheet(path: Path, cases: Sequence[Case], captions: Sequence[str]) -> None:
    """Write `contact_sheet` as a PNG.

    Raises:
        LightsegError: a case cannot be read, or `path` cannot be written.
        ValueError: there is no case.
    """
    content = io.BytesIO()
    Image.fromarray(contact_sheet(cases, captions)).save(content, "PNG")
    try:
        write_bytes(path, content.getvalue())
    except OSError as error:
        raise LightsegError(f"{path} cannot be written ({error}); check the folder and the space on disk") from error


def contact_sheet(cases: Sequence[Case], captions: Sequence[str]) -> NDArray[np.uint8]:
    """Draw thumbnails in rows of up to 8, each with the outlines of what is marked and a caption below.

    Where mask and image differ in size, the mask is laid over the whole image.

    Args:
        cases: the cases, 1 or more.
        captions: one line for each; its beginning is cut off where it is wider than the thumbnail.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        LightsegError: a file cannot be read.
        ValueError: there is no case.
    """
    if not cases:
        raise ValueError("cases is empty; pass at least one")
    thumbnails = [Image.fromarray(_thumbnail(case)) for case in cases]
    tallest = max(thumbnail.height for thumbnail in thumbnails)
    columns = min(_COLUMNS, len(cases))
    width, height = _TILE + _GAP, tallest + _CAPTION + _GAP
    sheet = Image.new("RGB", (columns * width + _GAP, -(-len(cases) // columns) * height + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, (thumbnail, caption) in enumerate(zip(thumbnails, captions, strict=True)):
        left, top = _GAP + place % columns * width, _GAP + place // columns * height
        sheet.paste(thumbnail, (left + (_TILE - thumbnail.width) // 2, top + tallest - thumbnail.height))
        pen.text((left, top + tallest), _shortened(caption, font), fill=_INK, font=font)
    return np.asarray(sheet)


def _thumbnail(case: Case) -> NDArray[np.uint8]:
    image, label = Image.fromarray(case.read_image()), case.read_label()
    scale = _TILE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    pixels = np.array(image.resize(size, Image.Resampling.BICUBIC))
    pixels[_outlines(np.asarray(Image.fromarray(label).resize(size, Image.Resampling.NEAREST)))] = _OUTLINE
    return pixels


def _outlines(label: NDArray[Any]) -> NDArray[np.bool_]:
    """Marked pixels beside another number or the edge of the picture; so objects that touch are divided too."""
    around = np.pad(label, 1)
    lowest, highest = (find(around, size=3)[1:-1, 1:-1] for find in (ndimage.minimum_filter, ndimage.maximum_filter))
    return (label > 0) & (lowest != highest)


def _shortened(text: str, font: Any) -> str:
    """The text, without its beginning where it is wider than a thumbnail; ids differ at their ends."""
    if font.getlength(text) <= _TILE:
        return text
    start = next(start for start in range(1, len(text)) if font.getlength("..." + text[start:]) <= _TILE)
    return "..." + text[start:]
