import io
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_lightseg.data import FileCase, picture_stem, read_folder, read_mask, read_rgb
from monai_lightseg.errors import LightsegError
from tests.data.damage import check_reads_or_names, damage

from .fake_dicom import JPEG_2000, JPEG_BASELINE, element, palette_of_grey_and_its_reverse, write_dicom

GREY = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
SQUARE = np.zeros((6, 8), np.uint8)
SQUARE[2:4, 3:6] = 1
FORMATS = ["a.nii", "a.nii.gz", "a.mha", "a.mhd"]


def written(path: Path, pixels: np.ndarray, *, vector: bool = False, compress: bool = False) -> Path:
    image = SimpleITK.GetImageFromArray(pixels, isVector=vector)
    writer = SimpleITK.ImageFileWriter()
    writer.SetImageIO("NiftiImageIO" if ".nii" in path.name.lower() else "MetaImageIO")
    writer.SetFileName(str(path))
    writer.SetUseCompression(compress)
    writer.Execute(image)
    return path


def message(path: Path, reader=read_rgb) -> str:
    with pytest.raises(LightsegError) as caught:
        reader(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("name", FORMATS)
class TestEveryFormat:
    @pytest.mark.parametrize("shape", [(6, 8), (1, 6, 8), (6, 1, 8), (6, 8, 1), (1, 1, 6, 8)])
    def test_one_slice_in_its_stored_order(self, tmp_path, name, shape):
        read = read_rgb(written(tmp_path / name, GREY.reshape(shape)))
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, three(GREY))

    def test_directions_do_not_turn_it(self, tmp_path, name):
        image = SimpleITK.GetImageFromArray(GREY)
        image.SetDirection([0, 1, -1, 0])
        SimpleITK.WriteImage(image, str(tmp_path / name))
        np.testing.assert_array_equal(read_rgb(tmp_path / name), three(GREY))

    def test_rgb(self, tmp_path, name):
        np.testing.assert_array_equal(read_rgb(written(tmp_path / name, COLOUR, vector=True)), COLOUR)

    @pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int16, np.int64, np.float32, np.float64])
    def test_other_numbers_are_scaled(self, tmp_path, name, kind):
        values = (
            np.array([[-4, 1], [2, 6]]).astype(kind)
            if np.dtype(kind).kind != "u"
            else np.array([[10, 15], [16, 20]], kind)
        )
        read = read_rgb(written(tmp_path / name, values))
        np.testing.assert_array_equal(read, three(np.array([[0, 128], [153, 255]])))  # 127.5 is rounded to even

    @pytest.mark.parametrize("kind", [np.uint16, np.float32])
    def test_constant_becomes_zero(self, tmp_path, name, kind):
        assert not read_rgb(written(tmp_path / name, np.full((2, 3), 7, kind))).any()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, tmp_path, name, value):
        path = written(tmp_path / name, np.array([[0, 1], [2, value]], np.float32))
        assert "not finite" in message(path)
        assert "holds the values" in message(path, read_mask)

    @pytest.mark.parametrize("shape", [(2, 6, 8), (3, 2, 6, 8)])
    def test_several_slices(self, tmp_path, name, shape):
        text = message(written(tmp_path / name, np.zeros(shape, np.uint8)))
        assert " x ".join(map(str, shape)) in text and "save one slice" in text

    def test_wide_colours(self, tmp_path, name):
        assert "colours of uint16" in message(written(tmp_path / name, COLOUR.astype(np.uint16), vector=True))

    @pytest.mark.parametrize("channels", [2, 4])
    def test_other_channels(self, tmp_path, name, channels):
        path = written(tmp_path / name, np.zeros((6, 8, channels), np.uint8), vector=True)
        assert f"holds {channels} channels" in message(path)

    def test_complex_numbers(self, tmp_path, name):
        assert "save it as grey or RGB" in message(written(tmp_path / name, np.zeros((6, 8), np.complex64)))

    @pytest.mark.parametrize("peak", [0, 1, 255, 65535])
    @pytest.mark.parametrize("kind", [np.int32, np.float32])
    def test_mask_values(self, tmp_path, name, kind, peak):
        read = read_mask(written(tmp_path / name, SQUARE.astype(kind) * peak))
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, SQUARE if peak else np.zeros_like(SQUARE))

    @pytest.mark.parametrize("values", [[0, 0.5], [0, 1.5], [0, 1, 2], [-1, 0], [0, 1, 255]])
    def test_other_mask_values(self, tmp_path, name, values):
        text = message(written(tmp_path / name, np.array([values], np.float32)), read_mask)
        assert all(str(float(value)) in text for value in values)

    def test_coloured_mask(self, tmp_path, name):
        assert "coloured" in message(written(tmp_path / name, COLOUR, vector=True), read_mask)

    def test_truncated(self, tmp_path, name):
        path = written(tmp_path / name, GREY, compress=name.endswith("gz"))
        pixels = tmp_path / "a.raw" if name == "a.mhd" else path
        pixels.write_bytes(pixels.read_bytes()[:-10])
        assert "cannot be read" in message(path)

    @pytest.mark.parametrize("content", [b"", b"no picture " * 50])
    def test_no_picture(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        assert "cannot be read" in message(tmp_path / name)

    def test_missing(self, tmp_path, name):
        assert "does not exist" in message(tmp_path / name)

    def test_folder(self, tmp_path, name):
        (tmp_path / name).mkdir()
        message(tmp_path / name)


class TestNifti:
    def test_suffix_in_capitals(self, tmp_path):
        path = written(tmp_path / "a.nii.gz", GREY).rename(tmp_path / "A.NII.GZ")
        np.testing.assert_array_equal(read_rgb(path), three(GREY))

    def test_pixels_come_from_the_named_file(self, tmp_path):
        written(tmp_path / "a.nii", 255 - GREY)
        np.testing.assert_array_equal(read_rgb(written(tmp_path / "a.nii.gz", GREY)), three(GREY))

    @pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
    def test_slope(self, tmp_path, kind):
        image = kind(SQUARE.T, np.eye(4))
        image.header.set_slope_inter(2, -1)
        image.to_filename(tmp_path / "a.nii")
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.nii"), three(SQUARE * 255))
        assert "-1.0, 1.0" in message(tmp_path / "a.nii", read_mask)

    def test_rgb_pixels(self, tmp_path):
        pixels = np.zeros((8, 6), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
        for number, channel in enumerate("RGB"):
            pixels[channel] = COLOUR[..., number].T
        nibabel.Nifti1Image(pixels, np.eye(4)).to_filename(tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(read_rgb(tmp_path / "a.nii.gz"), COLOUR)

    def test_three_slices_are_no_colours(self, tmp_path):
        nibabel.Nifti1Image(COLOUR, np.eye(4)).to_filename(tmp_path / "a.nii")
        assert "3 x 8 x 6" in message(tmp_path / "a.nii")

    def test_damaged_checksum(self, tmp_path):
        path = written(tmp_path / "a.nii.gz", GREY)
        content = bytearray(path.read_bytes())
        content[-6] ^= 1
        path.write_bytes(content)
        assert "cannot be read" in message(path)


class TestMetaImage:
    @pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
    def test_compressed(self, tmp_path, name):
        np.testing.assert_array_equal(read_rgb(written(tmp_path / name, GREY, compress=True)), three(GREY))

    @pytest.mark.parametrize("name", ["a.mha", "a.mhd"])
    def test_damaged_while_compressed(self, tmp_path, name):
        path = written(tmp_path / name, np.tile(GREY, (10, 10)), compress=True)
        pixels = tmp_path / "a.zraw" if name == "a.mhd" else path
        content = bytearray(pixels.read_bytes())
        content[-100] ^= 0xFF
        pixels.write_bytes(content)
        assert "cannot be read" in message(path)

    def test_pixels_that_are_elsewhere(self, tmp_path):
        path = written(tmp_path / "a.mhd", GREY)
        (tmp_path / "a.raw").unlink()
        message(path)


class TestDicom:
    def test_grey(self, tmp_path):
        np.testing.assert_array_equal(read_rgb(write_dicom(tmp_path / "a.dcm", GREY)), three(GREY))

    @pytest.mark.parametrize("kind", [np.uint16, np.int16])
    def test_wide_grey(self, tmp_path, kind):
        values = GREY.astype(kind) * 4
        values[0, :2] = 0, 1020
        np.testing.assert_array_equal(read_rgb(write_dicom(tmp_path / "a.dcm", values)), three(np.rint(values / 4)))

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
    def test_white_as_the_least_value_is_inverted(self, tmp_path, kind):
        values = GREY.astype(kind)
        values[0, :2] = 0, 255
        read = read_rgb(write_dicom(tmp_path / "a.dcm", values, "MONOCHROME1"))
        np.testing.assert_array_equal(read, three(255 - values))

    def test_no_mask_has_white_as_the_least_value(self, tmp_path):
        path = write_dicom(tmp_path / "a.dcm", SQUARE * 255, "MONOCHROME1")
        assert "MONOCHROME2" in message(path, read_mask)

    @pytest.mark.parametrize("peak", [1, 255])
    def test_mask(self, tmp_path, peak):
        np.testing.assert_array_equal(read_mask(write_dicom(tmp_path / "a.dcm", SQUARE * peak)), SQUARE)

    def test_slope(self, tmp_path):
        slope = element(0x28, 0x1052, "DS", "-100") + element(0x28, 0x1053, "DS", "2")
        path = write_dicom(tmp_path / "a.dcm", SQUARE, extra=slope)
        np.testing.assert_array_equal(read_rgb(path), three(SQUARE * 255))
        assert "-100, -98" in message(path, read_mask)

    def test_rgb(self, tmp_path):
        np.testing.assert_array_equal(read_rgb(write_dicom(tmp_path / "a.dcm", COLOUR, "RGB")), COLOUR)

    def test_palette(self, tmp_path):
        path = write_dicom(tmp_path / "a.dcm", GREY, "PALETTE COLOR", extra=palette_of_grey_and_its_reverse())
        np.testing.assert_array_equal(read_rgb(path), np.stack([GREY, 255 - GREY, GREY], axis=2))

    def test_luminance_and_colour_differences(self, tmp_path):
        expected = np.asarray(Image.fromarray(COLOUR, "YCbCr").convert("RGB")).astype(int)
        read = read_rgb(write_dicom(tmp_path / "a.dcm", COLOUR, "YBR_FULL"))
        assert np.abs(read - expected).max() <= 1  # both round

    def test_halved_colour_differences(self, tmp_path):
        pairs = COLOUR.reshape(6, 4, 2, 3)
        content = np.stack([pairs[:, :, 0, 0], pairs[:, :, 1, 0], pairs[:, :, 0, 1], pairs[:, :, 0, 2]], axis=2)
        full = pairs.copy()
        full[:, :, 1, 1:] = full[:, :, 0, 1:]
        expected = np.asarray(Image.fromarray(full.reshape(6, 8, 3), "YCbCr").convert("RGB")).astype(int)
        read = read_rgb(write_dicom(tmp_path / "a.dcm", COLOUR, "YBR_FULL_422", content=content.tobytes()))
        assert np.abs(read - expected).max() <= 1

    @pytest.mark.parametrize(
        ("photometric", "syntax", "kind", "options"),
        [
            ("YBR_FULL_422", JPEG_BASELINE, "JPEG", {"quality": 95}),
            ("YBR_RCT", JPEG_2000, "JPEG2000", {"no_jp2": True, "mct": 1}),
            ("RGB", JPEG_2000, "JPEG2000", {"no_jp2": True, "mct": 0}),
        ],
    )
    def test_compressed(self, tmp_path, photometric, syntax, kind, options):
        rows, columns = np.mgrid[:64, :64]
        smooth = np.stack([columns * 3, rows * 3, rows + columns], axis=2).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(smooth).save(stream, kind, **options)
        path = write_dicom(tmp_path / "a.dcm", smooth, photometric, content=stream.getvalue(), compressed_as=syntax)
        decoded = np.asarray(Image.open(stream)).astype(int)
        assert np.abs(read_rgb(path) - decoded).max() <= (3 if kind == "JPEG" else 0)  # decoders differ in rounding

    @pytest.mark.parametrize("photometric", ["HSV", "YBR_PARTIAL_422", ""])
    def test_other_colours(self, tmp_path, photometric):
        message(write_dicom(tmp_path / "a.dcm", COLOUR, photometric))

    def test_several_frames(self, tmp_path):
        assert "2 x 3 x 8" in message(write_dicom(tmp_path / "a.dcm", GREY, frames=2))

    @pytest.mark.parametrize("size", [0, 100, -10])
    def test_damaged(self, tmp_path, size):
        path = write_dicom(tmp_path / "a.dcm", GREY)
        path.write_bytes(path.read_bytes()[:size])
        assert message(path).endswith(
            "cannot be read as an image (ITK ERROR: Cannot read requested file); replace the file"
        )

    def test_missing(self, tmp_path):
        assert "does not exist" in message(tmp_path / "a.dcm")

    def test_another_format_of_that_name(self, tmp_path):
        Image.fromarray(GREY).save(tmp_path / "a.png")
        (tmp_path / "a.png").rename(tmp_path / "a.dcm")
        assert "cannot be read" in message(tmp_path / "a.dcm")


@given(
    name=st.sampled_from(["a.dcm", "a.nii", "b.nii.gz", "a.mha", "c.mha"]),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=6),
)
@settings(max_examples=120, deadline=None)
def test_damaged_bytes_raise_nothing_else(tmp_path_factory, name, flips):
    path = tmp_path_factory.getbasetemp() / f"damaged_{name}"
    if name == "a.dcm":
        write_dicom(path, GREY)
    else:
        written(path, GREY, compress=name == "c.mha")
    damage(path, flips)
    check_reads_or_names(path)


@pytest.mark.parametrize(("name", "library"), [("a.nii.gz", "nibabel"), ("a.mha", "SimpleITK"), ("a.dcm", "SimpleITK")])
def test_missing_library(tmp_path, monkeypatch, name, library):
    path = tmp_path / name
    if name == "a.dcm":
        write_dicom(path, GREY)
    else:
        written(path, GREY)
    monkeypatch.setitem(sys.modules, library, None)
    text = message(path)
    assert library in text and "pip install 'monai-lightseg[io]'" in text


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.nii.gz", "a"), ("a.b.NII.GZ", "a.b"), ("a.dcm", "a"), ("a.nii", "a"), ("a.gz", "a"), ("a", "a")],
)
def test_stem(name, stem):
    assert picture_stem(Path("x.y") / name) == stem


def test_folder_of_mixed_formats(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    write_dicom(tmp_path / "images/a.dcm", GREY)
    written(tmp_path / "masks/a_mask.nii.gz", SQUARE)
    written(tmp_path / "images/b.nii.gz", GREY.astype(np.int16))
    Image.fromarray(SQUARE * 255).save(tmp_path / "masks/b.png")
    Image.fromarray(COLOUR).save(tmp_path / "images/c.png")
    written(tmp_path / "masks/c_segmentation.mhd", SQUARE)
    cases = read_folder(tmp_path)
    assert [case.id for case in cases] == ["a", "b", "c"]
    for case in cases:
        image, mask = case.read_pair()
        assert image.shape == (6, 8, 3)
        np.testing.assert_array_equal(mask, SQUARE)


def test_sizes_that_differ(tmp_path):
    case = FileCase("a", write_dicom(tmp_path / "a.dcm", GREY), written(tmp_path / "a.mha", SQUARE.T))
    with pytest.raises(LightsegError, match=r"a\.dcm is 6 x 8 but its mask .*a\.mha is 8 x 6"):
        case.read_pair()
