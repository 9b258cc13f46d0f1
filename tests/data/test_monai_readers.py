"""Pictures through MONAI's LoadImage: rows first, and by the rules of this package."""

import numpy as np
import pytest
from monai.transforms import LoadImage
from PIL import Image

from monai_lightseg.data.monai_readers import MaskReader, RGBReader, images_in
from monai_lightseg.errors import LightsegError

READ_IMAGE = LoadImage(reader=RGBReader, ensure_channel_first=True)
READ_MASK = LoadImage(reader=MaskReader, ensure_channel_first=True)


def save(path, pixels, **options):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
    return path


def test_an_image_has_rows_first(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3))
    read = READ_IMAGE(save(tmp_path / "image.png", pixels))
    assert read.shape == (3, 4, 6)
    assert np.array_equal(read.numpy(), pixels.transpose(2, 0, 1))


def test_a_grey_image_has_three_channels(tmp_path):
    pixels = np.arange(24).reshape(4, 6)
    assert np.array_equal(READ_IMAGE(save(tmp_path / "grey.png", pixels)).numpy(), np.stack([pixels] * 3))


def test_a_mask_of_255_becomes_1(tmp_path):
    pixels = np.zeros((4, 6))
    pixels[1, 2:] = 255
    read = READ_MASK(save(tmp_path / "mask.png", pixels))
    assert read.shape == (1, 4, 6)
    assert np.array_equal(read.numpy()[0], pixels / 255)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """And MONAI tries no other reader, which would take the fourth channel for a colour."""
    path = save(tmp_path / "see_through.png", np.full((4, 6, 4), 7))
    with pytest.raises(LightsegError, match="see_through"):
        READ_IMAGE(path)


def test_several_files_are_refused():
    with pytest.raises(ValueError, match="one file at a time"):
        READ_IMAGE(["a.png", "b.png"])


def test_images_of_a_folder(tmp_path):
    for name in ("b.png", "a.JPG"):
        save(tmp_path / name, np.zeros((2, 2, 3)))
    (tmp_path / "notes.txt").write_text("no image")
    assert images_in(str(tmp_path), str(tmp_path / "masks")) == [
        {"image": str(tmp_path / "a.JPG")},
        {"image": str(tmp_path / "b.png")},
    ]


@pytest.mark.parametrize(("name", "message"), [("nowhere", "is no folder"), (".", "holds no .png")])
def test_no_images(tmp_path, name, message):
    with pytest.raises(LightsegError, match=message):
        images_in(str(tmp_path / name), "masks")


def test_images_are_not_replaced_by_their_masks(tmp_path):
    save(tmp_path / "a.png", np.zeros((2, 2, 3)))
    with pytest.raises(LightsegError, match="another --output_dir"):
        images_in(str(tmp_path), str(tmp_path))


def test_two_images_of_one_name(tmp_path):
    for name in ("a.png", "a.jpg"):
        save(tmp_path / name, np.zeros((2, 2, 3)))
    with pytest.raises(LightsegError, match="rename one"):
        images_in(str(tmp_path), str(tmp_path / "masks"))
