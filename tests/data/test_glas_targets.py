import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_erosion

from monai_lightseg.data import (
    centre_crop,
    core_border_labels,
    gland_targets,
    reduce_image,
    reduce_labels,
    reflect_pad,
)


@given(
    labels=arrays(np.int32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.integers(0, 3)),
    scale=st.integers(1, 4),
    border=st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_targets_are_the_erosions_of_every_gland(labels, scale, border):
    labels = np.kron(labels, np.ones((scale, scale), np.int32))
    square = np.ones((2 * border + 1, 2 * border + 1))
    eroded = np.zeros(labels.shape, bool)
    for number in (1, 2, 3):
        eroded |= binary_erosion(labels == number, square, border_value=1)
    targets = gland_targets(labels, border)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, np.stack([eroded, labels > 0]))
    classes = core_border_labels(labels, border)
    assert classes.dtype == np.uint8
    np.testing.assert_array_equal(classes == 1, eroded)
    np.testing.assert_array_equal(classes > 0, labels > 0)
    assert classes.max() <= 2


def test_the_default_is_the_papers_erosion():
    labels = np.zeros((40, 40), np.int32)
    labels[10:30, 0:20] = 5
    eroded = np.zeros((40, 40))
    eroded[16:24, 0:14] = 1
    np.testing.assert_array_equal(gland_targets(labels)[0], eroded)


def test_glands_that_touch_lose_a_border_on_both_sides():
    labels = np.repeat(np.array([[1, 2]]), 10, axis=1).repeat(20, axis=0)
    core = gland_targets(labels, border=3)[0]
    assert not core[:, 7:13].any()
    assert core[:, :7].all() and core[:, 13:].all()


def test_bad_arguments():
    with pytest.raises(ValueError, match="border is -1"):
        gland_targets(np.zeros((4, 4), np.int32), -1)
    with pytest.raises(ValueError, match=r"\(1, 4, 4\)"):
        core_border_labels(np.zeros((1, 4, 4), np.int32))


@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([(), (3,)]),
)
@settings(max_examples=100, deadline=None)
def test_padding_is_undone_by_cropping(shape, size, channels):
    array = np.random.default_rng(0).integers(0, 99, (*shape, *channels))
    padded = reflect_pad(array, size)
    assert padded.shape == (max(shape[0], size[0]), max(shape[1], size[1]), *channels)
    np.testing.assert_array_equal(centre_crop(padded, shape), array)


def test_padding_reflects_and_puts_the_odd_pixel_last():
    np.testing.assert_array_equal(reflect_pad(np.array([[1, 2, 3]]), (1, 8)), [[3, 2, 1, 2, 3, 2, 1, 2]])


def test_a_crop_larger_than_the_array():
    with pytest.raises(ValueError, match="3 x 4"):
        centre_crop(np.zeros((3, 4)), (4, 4))


@pytest.mark.parametrize(
    ("size", "reduced"),
    [((522, 775), (345, 512)), ((453, 589), (299, 389)), ((442, 581), (292, 384)), ((1, 1), (1, 1))],
)
def test_reduction(size, reduced):
    places = np.arange(size[0] * size[1], dtype=np.int32).reshape(size)
    smaller = reduce_labels(places)
    assert (smaller.shape, smaller.dtype) == (reduced, np.int32)
    for found, old, new in zip(np.divmod(smaller, size[1]), size, np.indices(reduced), strict=True):
        # Where the centre of the new pixel lies in the old image; the nearest old centre is half a pixel off at most.
        wanted = (new + 0.5) * old / (new.max() + 1) - 0.5
        assert np.abs(found - wanted).max() <= 0.5 + 1e-9


def test_images_are_reduced_by_the_same_pixels_as_labels():
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    np.testing.assert_array_equal(reduce_image(image)[..., 1], reduce_labels(image[..., 1]))
    assert reduce_image(image, factor=0.5).shape == (30, 40, 3)


@pytest.mark.parametrize("factor", [0, -1.0, float("nan")])
def test_bad_factor(factor):
    with pytest.raises(ValueError, match="factor is"):
        reduce_labels(np.zeros((4, 4), np.int32), factor)
