"""A small folder that looks like GlaS."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

VALIDATION = (25, 35, 51, 54, 55, 58, 64, 68, 74, 79)
ALL = [f"train_{n}" for n in range(1, 86)] + [f"testA_{n}" for n in range(1, 61)] + [f"testB_{n}" for n in range(1, 21)]


def labels_of(name: str, shape: tuple[int, int] = (40, 48)) -> np.ndarray:
    """Two glands that touch, and a third one; the numbers leave out 2."""
    labels = np.zeros(shape, np.uint8)
    labels[4:24, 2:18] = 1
    labels[4:24, 18:34] = 3
    labels[28:40, 20 + len(name) : 40] = 4
    return labels


def write_glas(folder: Path, names: Sequence[str], image: str = "bmp", annotation: str = "bmp") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        labels = labels_of(name)
        pixels = np.repeat(labels[..., None] * 60, 3, axis=2)
        Image.fromarray(pixels).save(folder / f"{name}.{image}")
        Image.fromarray(labels).save(folder / f"{name}_anno.{annotation}")
    return folder


def write_grades(folder: Path, lines: Iterable[str], header: str = "patient ID,name,grade") -> None:
    (folder / "Grade.csv").write_text("\n".join([header, *lines]) + "\n")
