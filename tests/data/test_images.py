import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_lightseg.data import read_mask, read_rgb
from monai_lightseg.errors import LightsegError
from tests.data.damage import check_reads_or_names, damage

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
SQUARE = np.zeros((6, 8), np.uint8)
SQUARE[2:4, 3:6] = 1


def saved(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


def sixteen_bit_png(path: Path, colour_type: int, channels: int, value: int, transparent: bytes = b"") -> Path:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + struct.pack(">H", value) * 4 * channels
    header = struct.pack(">IIBBBBB", 4, 4, 16, colour_type, 0, 0, 0)
    middle = (chunk(b"tRNS", transparent) if transparent else b"") + chunk(b"IDAT", zlib.compress(row * 4))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IEND", b""))
    return path


def message(path: Path, reader) -> str:
    with pytest.raises(LightsegError) as caught:
        reader(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_rgb_is_kept(tmp_path):
    read = read_rgb(saved(tmp_path / "a.png", Image.fromarray(COLOUR)))
    assert read.dtype == np.uint8
    assert read.flags.writeable
    np.testing.assert_array_equal(read, COLOUR)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_is_replicated(tmp_path, mode):
    grey = Image.fromarray(SQUARE * 255).convert(mode)
    read = read_rgb(saved(tmp_path / "a.png", grey))
    np.testing.assert_array_equal(read, np.repeat(SQUARE[..., None] * 255, 3, axis=2))


def test_palette_is_looked_up(tmp_path):
    indexed = Image.fromarray(SQUARE).convert("P")
    indexed.putpalette([10, 20, 30, 200, 150, 100])
    read = read_rgb(saved(tmp_path / "a.png", indexed))
    np.testing.assert_array_equal(read, np.where(SQUARE[..., None], [200, 150, 100], [10, 20, 30]))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_opaque_alpha_is_dropped(tmp_path, mode):
    image = Image.fromarray(COLOUR).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_rgb(saved(tmp_path / "a.png", image)), expected)


def test_transparent_image_is_refused(tmp_path):
    image = Image.fromarray(COLOUR).convert("RGBA")
    image.putpixel((3, 2), (1, 2, 3, 254))
    assert "transparent" in message(saved(tmp_path / "a.png", image), read_rgb)


def test_transparent_palette_entry_is_refused(tmp_path):
    indexed = Image.fromarray(SQUARE).convert("P")
    indexed.putpalette([10, 20, 30, 200, 150, 100])
    indexed.save(tmp_path / "a.png", transparency=1)
    assert "transparent" in message(tmp_path / "a.png", read_rgb)


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "a.jpg"), ("F", "a.tif"), ("I", "a.tif"), ("CMYK", "a.tif"), ("LAB", "a.tif")]
)
def test_other_colour_modes_are_refused(tmp_path, mode, name):
    text = message(saved(tmp_path / name, Image.new(mode, (8, 6))), read_rgb)
    assert mode in text
    assert "convert it to 8-bit RGB" in text


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_sixteen_bit_grey_is_scaled_from_its_own_least_and_largest_value(tmp_path, name, kind):
    grey = np.array([[1000, 1300, 1600], [1601, 51000, 26000]], kind)
    read = read_rgb(saved(tmp_path / name, Image.fromarray(grey)))
    assert read.dtype == np.uint8
    # A step of 50000 / 255 = 196 is one of 255; 25000 of 50000 is 127.5, rounded to even.
    np.testing.assert_array_equal(read, np.repeat(np.array([[0, 2, 3], [3, 255, 128]])[..., None], 3, axis=2))


@given(values=st.lists(st.integers(0, 65535), min_size=2, max_size=20))
@settings(max_examples=60, deadline=None)
def test_scaling_keeps_order_and_reaches_both_ends(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "wide.png"
    grey = np.array([values], np.uint16)
    Image.fromarray(grey).save(path)
    read = read_rgb(path)[..., 0]
    if len(set(values)) == 1:
        assert not read.any()
    else:
        assert (read.min(), read.max()) == (0, 255)
        assert (np.diff(read[0, np.argsort(grey[0], kind="stable")].astype(int)) >= 0).all()
        exact = (grey - grey.min()) / np.ptp(grey) * 255.0
        assert np.abs(read - exact).max() <= 0.5 + 1e-9


def test_sixteen_bit_grey_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    grey = SQUARE.astype(np.uint16) * 40000
    Image.fromarray(grey).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png")[..., 0], np.rot90(SQUARE * 255, 3))


@pytest.mark.parametrize("reader", [read_rgb, read_mask])
@pytest.mark.parametrize("value", [0, 7])
def test_sixteen_bit_grey_with_a_transparent_value_is_refused(tmp_path, reader, value):
    message(sixteen_bit_png(tmp_path / "a.png", 0, 1, 0, transparent=struct.pack(">H", value)), reader)


def test_sixteen_bit_grey_with_transparency_per_pixel_is_refused(tmp_path):
    assert "16 bits" in message(sixteen_bit_png(tmp_path / "a.png", 4, 2, 1), read_rgb)


@pytest.mark.parametrize("reader", [read_rgb, read_mask])
def test_sixteen_bit_grey_with_white_as_zero_is_refused(tmp_path, reader):
    Image.fromarray(SQUARE.astype(np.uint16) * 65535).save(tmp_path / "a.tif", tiffinfo={262: 0})
    assert "white as 0" in message(tmp_path / "a.tif", reader)


@pytest.mark.parametrize("reader", [read_rgb, read_mask])
def test_sixteen_bit_colour_is_not_cut_to_eight(tmp_path, reader):
    assert "16 bits" in message(sixteen_bit_png(tmp_path / "a.png", 2, 3, 1), reader)


def test_sixteen_bit_pixels_of_a_bmp_are_eight_bit_colours(tmp_path):
    header = struct.pack("<2sIHHI", b"BM", 54 + 12 + 8, 0, 0, 54 + 12)
    info = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0)
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    (tmp_path / "a.bmp").write_bytes(header + info + masks + struct.pack("<4H", 0xFFFF, 0, 0, 0))
    assert read_rgb(tmp_path / "a.bmp")[1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_turns_image_and_mask(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    turns = {1: 0, 3: 2, 6: 3, 8: 1}[orientation]
    Image.fromarray(COLOUR).save(tmp_path / "a.png", exif=exif)
    Image.fromarray(SQUARE * 255).save(tmp_path / "m.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), np.rot90(COLOUR, turns))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), np.rot90(SQUARE, turns))


@pytest.mark.parametrize("peak", [0, 1, 255, 65535])
@pytest.mark.parametrize("full", [False, True])
def test_mask_values(tmp_path, peak, full):
    mask = np.ones_like(SQUARE) if full else SQUARE
    values = mask.astype(np.uint16 if peak > 255 else np.uint8) * peak
    read = read_mask(saved(tmp_path / "m.png", Image.fromarray(values)))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, mask if peak else np.zeros_like(mask))


@pytest.mark.parametrize("mode", ["1", "P", "RGB", "I"])
def test_mask_modes(tmp_path, mode):
    image = Image.fromarray(SQUARE * 255).convert(mode)
    np.testing.assert_array_equal(read_mask(saved(tmp_path / "m.tif", image)), SQUARE)


@pytest.mark.parametrize(("mode", "name"), [("RGBA", "m.png"), ("LA", "m.png"), ("LA", "m.tif"), ("P", "m.png")])
def test_opaque_alpha_of_masks_is_dropped(tmp_path, mode, name):
    image, options = Image.fromarray(SQUARE * 255).convert(mode), {"transparency": 7} if mode == "P" else {}
    image.save(tmp_path / name, **options)
    np.testing.assert_array_equal(read_mask(tmp_path / name), SQUARE)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_mask_is_refused(tmp_path, mode):
    image = Image.fromarray(SQUARE * 255).convert(mode)
    image.putalpha(Image.fromarray(SQUARE * 255))
    assert "transparent" in message(saved(tmp_path / "m.png", image), read_mask)


@pytest.mark.parametrize("mode", ["CMYK", "F"])
def test_mask_modes_refused(tmp_path, mode):
    image = Image.fromarray(SQUARE * 255).convert(mode)
    assert "one channel" in message(saved(tmp_path / "m.tif", image), read_mask)


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_mask_with_a_transparent_value_is_refused(tmp_path, mode):
    image = Image.fromarray(SQUARE * 255).convert(mode)
    image.save(tmp_path / "m.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert "alpha" in message(tmp_path / "m.png", read_mask)


def test_coloured_mask_is_refused(tmp_path):
    indexed = Image.fromarray(SQUARE).convert("P")
    indexed.putpalette([0, 0, 0, 255, 0, 0])
    assert "coloured" in message(saved(tmp_path / "m.png", indexed), read_mask)


@given(values=st.sets(st.integers(0, 255), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_mask_value_sets(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "values.png"
    pixels = np.array([sorted(values)], np.uint8)
    Image.fromarray(pixels).save(path)
    if values - {0} in ({1}, {255}, set()):
        np.testing.assert_array_equal(read_mask(path), pixels > 0)
    else:
        text = message(path, read_mask)
        assert all(str(value) in text for value in sorted(values)[:5])


def test_jpeg_mask_is_cut_at_128(tmp_path):
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 16, axis=0)
    path = tmp_path / "m.jpg"
    Image.fromarray(ramp).save(path, quality=100)
    grey = np.asarray(Image.open(path))
    assert {127, 128} <= set(np.unique(grey).tolist())
    np.testing.assert_array_equal(read_mask(path), grey >= 128)


def test_jpeg_mask_of_zero_and_one_is_not_read_as_empty(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 8:40] = 1
    assert "255" in message(saved(tmp_path / "m.jpg", Image.fromarray(mask)), read_mask)


@pytest.mark.parametrize("reader", [read_rgb, read_mask])
class TestDamagedFiles:
    def test_missing(self, tmp_path, reader):
        assert "does not exist" in message(tmp_path / "a.png", reader)

    def test_folder(self, tmp_path, reader):
        message(tmp_path, reader)

    def test_zero_bytes(self, tmp_path, reader):
        (tmp_path / "a.png").touch()
        message(tmp_path / "a.png", reader)

    def test_text(self, tmp_path, reader):
        (tmp_path / "a.png").write_text("not\nan image")
        message(tmp_path / "a.png", reader)

    @pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp", "a.tif"])
    def test_truncated(self, tmp_path, reader, name):
        path = saved(tmp_path / name, Image.fromarray(np.zeros((64, 64), np.uint8)))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        message(path, reader)

    def test_bad_checksum(self, tmp_path, reader):
        path = saved(tmp_path / "a.png", Image.fromarray(SQUARE))
        content = bytearray(path.read_bytes())
        content[content.index(b"IDAT") + 6] ^= 0xFF
        path.write_bytes(content)
        message(path, reader)

    @pytest.mark.parametrize("limit", [20, 40])
    def test_too_many_pixels(self, tmp_path, reader, monkeypatch, limit):
        # Pillow warns above the limit and refuses above twice the limit; the image has 48 pixels.
        path = saved(tmp_path / "a.png", Image.fromarray(SQUARE))
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert "too many pixels" in message(path, reader)

    def test_several_pages(self, tmp_path, reader):
        page = Image.fromarray(SQUARE)
        page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
        assert "several pages" in message(tmp_path / "a.tif", reader)


@given(
    suffix=st.sampled_from(["png", "jpg", "tif", "bmp"]),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), min_size=1, max_size=6),
)
@settings(max_examples=80, deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_raise_nothing_else(tmp_path_factory, suffix, flips):
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    Image.fromarray(COLOUR).save(path)
    damage(path, flips)
    check_reads_or_names(path)
