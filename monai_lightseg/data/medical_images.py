"""Slices in medical formats: DICOM, NIfTI and MetaImage, their pixels in the order in which the file stores them."""

import gzip
import os
import re
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.recfunctions import structured_to_unstructured
from numpy.typing import NDArray

from monai_lightseg.errors import LightsegError

__all__ = ["MEDICAL_SUFFIXES", "Slice", "file_suffix", "read_slice"]

_NIFTI = frozenset({".nii", ".nii.gz"})
_META = frozenset({".mha", ".mhd"})
_DICOM = ".dcm"
MEDICAL_SUFFIXES = _NIFTI | _META | {_DICOM}

_NIFTI2_HEADER_BYTES = 540
_PHOTOMETRIC = "0028|0004"
_INVERTED = "MONOCHROME1"
# What SimpleITK returns as grey or RGB; it passes other colour spaces on as they are.
_PHOTOMETRICS = frozenset(
    {_INVERTED, "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
)


class Slice(NamedTuple):
    """Pixels of one slice.

    Attributes:
        pixels: (height, width, channels), 1 or 3 channels of numbers, as stored and rescaled by the file's own slope.
        inverted: whether the file is a DICOM of MONOCHROME1, which stores white as the least value; in `pixels` the
            largest value is white.
    """

    pixels: NDArray[Any]
    inverted: bool


def file_suffix(path: Path) -> str:
    """Return what the name ends in, in small letters; `.nii.gz` is one suffix."""
    return ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()


def read_slice(path: Path) -> Slice:
    """Read a file with one of `MEDICAL_SUFFIXES` that holds one slice.

    A slice has two sides, or more of which all others are 1. Directions, spacings, windows and overlays do not count.
    Damaged bytes raise almost anything; `read_rgb` and `read_mask` turn that into a LightsegError.

    Raises:
        LightsegError: the file holds several slices, other than grey or RGB, or the library that reads it is missing.
    """
    suffix = file_suffix(path)
    if suffix in _NIFTI:
        pixels, inverted = _read_nifti(path), False
    else:
        if suffix in _META:
            _check_compressed_pixels(path)
        pixels, inverted = _read_itk(path, "GDCMImageIO" if suffix == _DICOM else "MetaImageIO")
    if pixels.shape[-1] not in (1, 3) or pixels.dtype.kind not in "uif":
        raise LightsegError(
            f"{path} holds {pixels.shape[-1]} channels of {pixels.dtype}; save it as grey or RGB, in integers or floats"
        )
    sides = pixels.shape[:-1]
    while pixels.ndim > 3 and 1 in pixels.shape[:-1]:
        pixels = pixels.squeeze(pixels.shape.index(1))
    if pixels.ndim != 3 or pixels.size == 0:
        raise LightsegError(f"{path} is {' x '.join(map(str, sides))}; save one slice as a file of its own")
    return Slice(pixels, inverted)


def _read_nifti(path: Path) -> NDArray[Any]:
    """Return (..., height, width, channels).

    By nibabel: NIfTI through SimpleITK fills a truncated file with zeros, makes NaN 0, and reads the pixels of
    `case.nii.gz` from `case.nii` where both are there.
    """
    try:
        import nibabel
    except ImportError as error:
        raise _missing(path, "nibabel") from error
    content = path.read_bytes()
    if file_suffix(path) == ".nii.gz":
        content = gzip.decompress(content)
    header_bytes = (int.from_bytes(content[:4], order) for order in ("little", "big"))
    kind = nibabel.Nifti2Image if _NIFTI2_HEADER_BYTES in header_bytes else nibabel.Nifti1Image
    pixels = np.asanyarray(kind.from_bytes(content).dataobj)
    if pixels.dtype.names:
        pixels = structured_to_unstructured(pixels)
    elif pixels.ndim != 5:  # the fifth side counts the channels
        pixels = pixels[..., None]
    return np.moveaxis(pixels.T, 0, -1)


def _read_itk(path: Path, reader_name: str) -> Slice:
    try:
        import SimpleITK
    except ImportError as error:
        raise _missing(path, "SimpleITK") from error
    path.stat()  # a missing file is told as one
    reader = SimpleITK.ImageFileReader()
    reader.SetImageIO(reader_name)
    reader.SetFileName(str(path))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        # The first line names a line of the library's own source, the next the address of an object.
        raise ValueError(re.sub(r"\w+\(0x\w+\): ", "", str(error).partition("\n")[2])) from error
    pixels = SimpleITK.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() == 1:
        pixels = pixels[..., None]
    if reader_name != "GDCMImageIO":
        return Slice(pixels, inverted=False)
    photometric = image.GetMetaData(_PHOTOMETRIC).strip() if image.HasMetaDataKey(_PHOTOMETRIC) else "none"
    if photometric not in _PHOTOMETRICS:
        raise LightsegError(f"{path} has the photometric interpretation {photometric}; convert it to RGB")
    return Slice(pixels, inverted=photometric == _INVERTED)


def _check_compressed_pixels(path: Path) -> None:
    """Raise where compressed pixels of a MetaImage are damaged: SimpleITK prints so and returns what it has."""
    header, _, rest = path.read_bytes().partition(b"ElementDataFile")
    if not re.search(rb"^CompressedData\s*=\s*True", header, re.MULTILINE | re.IGNORECASE):
        return
    line, _, content = rest.partition(b"\n")
    name = os.fsdecode(line).strip(" =\t\r")
    either_header = zlib.MAX_WBITS | 32  # of zlib or of gzip
    zlib.decompress(content if name.upper() == "LOCAL" else (path.parent / name).read_bytes(), either_header)


def _missing(path: Path, library: str) -> LightsegError:
    return LightsegError(f"{path} is read by {library}, which is not there: pip install 'monai-lightseg[io]'")
