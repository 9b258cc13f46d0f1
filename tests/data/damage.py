"""Files with bytes changed."""

from collections.abc import Sequence
from pathlib import Path

from monai_lightseg.data import read_rgb
from monai_lightseg.errors import LightsegError


def damage(path: Path, flips: Sequence[tuple[float, int]]) -> None:
    """Change bytes at places given as shares of the length."""
    content = bytearray(path.read_bytes())
    for place, change in flips:
        content[int(place * len(content))] ^= change
    path.write_bytes(content)


def check_reads_or_names(path: Path) -> None:
    """The image is read, or the error names the file."""
    try:
        read = read_rgb(path)
    except LightsegError as error:
        assert str(path) in str(error)
    else:
        assert read.ndim == 3
