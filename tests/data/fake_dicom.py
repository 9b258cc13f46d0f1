"""Small DICOM files, written byte by byte."""

import struct
from pathlib import Path

import numpy as np

EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


def element(group: int, number: int, kind: str, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        value = struct.pack("<H", value)
    elif isinstance(value, str):
        value = value.encode()
    value += (b"\0" if kind in ("UI", "OB", "OW") else b" ") * (len(value) % 2)
    head = struct.pack("<HH", group, number) + kind.encode()
    return (
        head
        + (b"\0\0" + struct.pack("<I", len(value)) if kind in ("OB", "OW") else struct.pack("<H", len(value)))
        + value
    )


def palette_of_grey_and_its_reverse() -> bytes:
    table = np.arange(256, dtype="<u2") * 257
    facts = struct.pack("<HHH", 256, 0, 16)
    head = b"".join(element(0x28, number, "US", facts) for number in (0x1101, 0x1102, 0x1103))
    tables = ((0x1201, table), (0x1202, table[::-1]), (0x1203, table))
    return head + b"".join(element(0x28, number, "OW", values.tobytes()) for number, values in tables)


def write_dicom(
    path: Path,
    pixels: np.ndarray,
    photometric: str = "MONOCHROME2",
    *,
    content: bytes | None = None,
    compressed_as: str = EXPLICIT_LITTLE_ENDIAN,
    frames: int = 1,
    extra: bytes = b"",
) -> Path:
    """Write (frames * height, width) or (height, width, 3); `content` in place of the bytes of the pixels."""
    bits, channels = pixels.dtype.itemsize * 8, 1 if pixels.ndim == 2 else pixels.shape[2]
    meta = element(2, 2, "UI", "1.2.840.10008.5.1.4.1.1.7") + element(2, 3, "UI", "1.2.3")
    meta += element(2, 0x10, "UI", compressed_as)
    body = element(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.7") + element(8, 0x18, "UI", "1.2.3")
    body += element(0x28, 2, "US", channels)
    body += element(0x28, 4, "CS", photometric) if photometric else b""
    body += element(0x28, 6, "US", 0) + element(0x28, 8, "IS", str(frames))
    for number, value in (
        (0x10, pixels.shape[0] // frames),
        (0x11, pixels.shape[1]),
        (0x100, bits),
        (0x101, bits),
        (0x102, bits - 1),
        (0x103, int(pixels.dtype.kind == "i")),
    ):
        body += element(0x28, number, "US", value)
    body += extra
    content = pixels.tobytes() if content is None else content
    if compressed_as == EXPLICIT_LITTLE_ENDIAN:
        body += element(0x7FE0, 0x10, "OW" if bits > 8 else "OB", content)
    else:
        body += struct.pack("<HH", 0x7FE0, 0x10) + b"OB\0\0\xff\xff\xff\xff" + struct.pack("<HHI", 0xFFFE, 0xE000, 0)
        content += b"\0" * (len(content) % 2)
        body += struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    meta_length = element(2, 0, "UL", struct.pack("<I", len(meta)))
    path.write_bytes(b"\0" * 128 + b"DICM" + meta_length + meta + body)
    return path
