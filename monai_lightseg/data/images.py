"""RGB images and binary masks from files, by stated rules: what is not plainly meant is an error, never a guess."""

import os
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from monai_lightseg.data.listing import first_few
from monai_lightseg.data.medical_images import MEDICAL_SUFFIXES, Slice, file_suffix, read_slice
from monai_lightseg.errors import LightsegError

__all__ = ["PICTURE_SUFFIXES", "WORKERS", "decode", "picture_stem", "read_mask", "read_rgb"]

# What `read_rgb` and `read_mask` are meant for, in small letters.
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *sorted(MEDICAL_SUFFIXES))

# Threads that read or write many pictures; more wait for each other while files are opened.
WORKERS = min(4, os.cpu_count() or 1)

_WIDE_MODES = frozenset({"I;16", "I;16B"})
_WIDE_PNG = ("I", "PNG")  # 16-bit grey as Pillow 10 opens it
_IMAGE_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA"})
_MASK_MODES = frozenset({"1", "L", "P", "RGB", "I", "I;16", "I;16B"})
_MASK_PEAKS = frozenset({0, 1, 255, 65535})
_JPEG_FORMATS = frozenset({"JPEG", "MPO"})
_JPEG_THRESHOLD = 128
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0

# warnings.catch_warnings changes the whole process, so only one thread may open a file at a time; decoding is outside.
_OPENING = threading.Lock()


def picture_stem(path: Path) -> str:
    """Return the name without its suffix; `.nii.gz` is one suffix."""
    return path.name[: len(path.name) - len(file_suffix(path))]


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as 8-bit RGB.

    A file ending in dcm, nii, nii.gz, mha or mhd is a slice, see `read_slice`; others are turned upright by their EXIF
    orientation. 8-bit RGB is kept, grey and black-and-white are replicated to three channels, palettes are looked up.
    Grey values other than unsigned 8-bit are scaled linearly, from the image's own least value to 0 and its largest to
    255, and are 0 where all are equal. A DICOM of MONOCHROME1 is inverted. Transparency is accepted only where every
    pixel is opaque, and is then dropped.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        LightsegError: the file is missing, damaged, has several pages or slices, is neither grey nor 8-bit RGB, is
            transparent, or holds values that are not finite.
    """
    if file_suffix(path) in MEDICAL_SUFFIXES:
        return _three_channels(path, _read_slice(path).pixels)
    image = _without_alpha(path, decode(path))
    if image.mode in _WIDE_MODES or (image.mode, image.format) == _WIDE_PNG:
        return _three_channels(path, np.asarray(image)[..., None])
    if image.mode not in _IMAGE_MODES:
        raise LightsegError(f"{path} has the colour mode {image.mode}; convert it to 8-bit RGB")
    return np.array(image.convert("RGB"))


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a binary mask.

    A file ending in dcm, nii, nii.gz, mha or mhd is a slice, see `read_slice`; others are turned upright by their EXIF
    orientation. The file has one channel, or is a palette or RGB image with three equal channels. A lossless file holds
    0 and at most one of 1, 255 or 65535. A JPEG is foreground where it is at least 128. Transparency is accepted only
    where every pixel is opaque, and is then dropped.

    Returns:
        uint8 array (height, width) of 0 (background) and 1 (foreground).

    Raises:
        LightsegError: the file is missing, damaged, has several pages or slices, is coloured, transparent or a DICOM of
            MONOCHROME1, or holds other values.
    """
    if file_suffix(path) in MEDICAL_SUFFIXES:
        pixels, inverted = _read_slice(path)
        if inverted:
            raise LightsegError(f"{path} is MONOCHROME1, which stores white as 0; save the mask as MONOCHROME2")
        return _without_other_values(path, _equal_channels(path, pixels))
    image = decode(path)
    grey = _one_channel(path, _without_alpha(path, image))
    if image.format in _JPEG_FORMATS:
        return _threshold_jpeg(path, grey)
    return _without_other_values(path, grey)


def decode(path: Path) -> Image.Image:
    """Read a picture of one page and at most 8 bits per colour channel, turned upright by its EXIF orientation.

    Raises:
        LightsegError: the file is missing, damaged, too large, has several pages or 16 bits per colour channel.
    """
    with _errors_naming(path), _open(path) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format not in _JPEG_FORMATS:
            raise LightsegError(f"{path} has several pages; save one page as a file of its own")
        # Pillow reads 16-bit colour as 8-bit without a word; only the raw mode (RGB;16B) still shows it.
        if re.search(r"[ABX];16", str(image.tile)):
            raise LightsegError(f"{path} has 16 bits per channel; convert it to 8-bit RGB")
        # Pillow inverts such files of 8 bits only.
        if image.mode in _WIDE_MODES and getattr(image, "tag_v2", {}).get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:
            raise LightsegError(f"{path} has 16 bits and stores white as 0; save it with black as 0")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image


def _open(path: Path) -> ImageFile.ImageFile:
    with _OPENING, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(path)


@contextmanager
def _errors_naming(path: Path) -> Iterator[None]:
    try:
        yield
    except LightsegError:
        raise
    except FileNotFoundError as error:
        raise LightsegError(f"{path} does not exist; check the path") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LightsegError(f"{path} has too many pixels to be read safely; make it smaller") from error
    except Exception as error:  # damaged bytes make Pillow's decoders raise almost anything
        reason = " ".join(str(error).split())
        raise LightsegError(f"{path} cannot be read as an image ({reason}); replace the file") from error


def _read_slice(path: Path) -> Slice:
    with _errors_naming(path):
        return read_slice(path)


def _without_alpha(path: Path, image: Image.Image) -> Image.Image:
    """Return the image if it has no transparency, or in RGB if every pixel is opaque."""
    if not image.has_transparency_data:
        return image
    if image.mode in _WIDE_MODES or image.mode == "I":
        raise LightsegError(f"{path} has a transparent value; save it without")
    if image.mode not in _IMAGE_MODES:  # such as premultiplied alpha, which is refused below
        return image
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema() != (255, 255):
        raise LightsegError(f"{path} has transparent pixels; flatten it and save it without alpha")
    return image.convert("RGB")


def _three_channels(path: Path, pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return RGB, uint8 (height, width, 3), of (height, width, 1 or 3)."""
    if pixels.dtype != np.uint8:
        if pixels.shape[2] == 3:
            raise LightsegError(f"{path} has colours of {pixels.dtype}; convert it to 8-bit RGB")
        pixels = _eight_bits(path, pixels)
    return np.repeat(pixels, 3 // pixels.shape[2], axis=2)


def _eight_bits(path: Path, values: NDArray[Any]) -> NDArray[np.uint8]:
    if not np.isfinite(values).all():
        raise LightsegError(f"{path} holds values that are not finite; replace them")
    low, high = values.min(), values.max()
    if low == high:
        return np.zeros(values.shape, np.uint8)
    return np.rint(np.interp(values, (low, high), (0, 255))).astype(np.uint8)


def _one_channel(path: Path, image: Image.Image) -> NDArray[np.int32]:
    if image.mode not in _MASK_MODES:
        raise LightsegError(f"{path} is not a plain mask (mode {image.mode}); save it with one channel")
    if image.mode not in ("P", "RGB"):
        return np.asarray(image).astype(np.int32)
    return _equal_channels(path, np.asarray(image.convert("RGB"))).astype(np.int32)


def _equal_channels(path: Path, channels: NDArray[Any]) -> NDArray[Any]:
    if channels.shape[-1] > 1 and (channels != channels[..., :1]).any():
        raise LightsegError(f"{path} is coloured; save the mask as one channel with the values 0 and 255")
    return channels[..., 0]


def _without_other_values(path: Path, grey: NDArray[Any]) -> NDArray[np.uint8]:
    peak = grey.max()
    if peak not in _MASK_PEAKS or not ((grey == 0) | (grey == peak)).all():
        found = ", ".join(first_few([str(value) for value in np.unique(grey).tolist()]))
        raise LightsegError(f"{path} holds the values {found}; a mask holds 0 and one of 1, 255 or 65535")
    return (grey != 0).astype(np.uint8)


def _threshold_jpeg(path: Path, grey: NDArray[np.int32]) -> NDArray[np.uint8]:
    # A 0/1 mask saved as JPEG would otherwise read as empty.
    if 0 < grey.max() < _JPEG_THRESHOLD:
        raise LightsegError(f"{path} is a JPEG mask with no value above {grey.max()}; its foreground must be 255")
    return (grey >= _JPEG_THRESHOLD).astype(np.uint8)
