import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import GlandAugmentation, centre_crop

SIDES = (90, 120)


def glands() -> np.ndarray:
    """Instance labels of four blobs, numbered beyond 8 bits."""
    rows, columns = np.indices(SIDES)
    labels = np.zeros(SIDES, np.int32)
    for number, (row, column) in enumerate([(20, 25), (60, 30), (30, 85), (70, 95)], start=1):
        labels[np.hypot(rows - row, columns - column) < 17] = number * 300
    return labels


def draws(image: np.ndarray, labels: np.ndarray, count: int, size: tuple[int, int] = (64, 96)):
    augment, generator = GlandAugmentation(size), np.random.default_rng(0)
    return [augment(image, labels, generator) for _ in range(count)]


def grey(value: int) -> np.ndarray:
    return np.full((*SIDES, 3), value, np.uint8)


def test_shapes_kinds_and_inputs_kept():
    image, labels = grey(100), glands()
    before = image.copy(), labels.copy()
    for size in [(64, 96), (352, 512), (1, 1)]:
        new, moved = draws(image, labels, 1, size)[0]
        assert (new.shape, new.dtype) == ((*size, 3), np.uint8)
        assert (moved.shape, moved.dtype) == (size, np.int32)
        assert moved.flags.c_contiguous and moved.flags.writeable
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_the_generator_decides():
    image = np.random.default_rng(1).integers(0, 256, (*SIDES, 3)).astype(np.uint8)
    augment = GlandAugmentation((64, 96))
    first, again, other = (augment(image, glands(), np.random.default_rng(seed)) for seed in (5, 5, 6))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert (first[0] != other[0]).any()


def test_without_a_generator_the_seed_decides_and_draws_go_on():
    runs = []
    for seed in (1, 1, 2):
        augment = GlandAugmentation((64, 96), seed=seed)
        runs.append([augment(grey(100), glands())[1] for _ in range(2)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0][0] != runs[0][1]).any()
    assert (runs[0][0] != runs[2][0]).any()


def test_labels_stay_labels_and_move_with_the_image():
    labels = glands()
    image = np.repeat((labels > 0).astype(np.uint8)[..., None] * 200 + 20, 3, axis=2)
    seen = set()
    for new, moved in draws(image, labels, 12):
        seen |= set(np.unique(moved).tolist())
        # Half way between the two greys, whatever the jitter did to them; interpolated edges may fall either way.
        bright = new.mean(axis=2)
        agree = (bright > (bright.min() + bright.max()) / 2) == (moved > 0)
        assert agree.mean() > 0.97
    assert seen == {0, 300, 600, 900, 1200}


def test_turns_flips_and_deforms():
    side = 400
    places = np.arange(side * side, dtype=np.int32).reshape(side, side)
    new = np.stack(np.indices((60, 60)), axis=-1).reshape(-1, 2)
    new = np.column_stack([new, np.ones(len(new))])
    augment, generator = GlandAugmentation((side + 128, side + 128)), np.random.default_rng(0)
    flips, angles, scales, rests = set(), [], [], []
    for _ in range(20):
        _, moved = augment(np.zeros((side, side, 3), np.uint8), places, generator)
        # The centre of so large a crop lies in the original, wherever it is cut, and not in a reflection.
        old = np.stack(np.divmod(centre_crop(moved, (60, 60)), side), axis=-1).reshape(-1, 2)
        fit, *_ = np.linalg.lstsq(new, old, rcond=None)
        flip = np.sign(np.diag(fit))
        flips.add(tuple(flip.tolist()))
        (a, b), (c, d) = fit[:2] * flip
        angles.append(float(np.degrees(np.arctan2(b - c, a + d))))
        scales.append(float(np.linalg.det(fit[:2] * flip)))
        rests.append(float(np.std(old - new @ fit)))
    assert flips == {(1, 1), (1, -1), (-1, 1), (-1, -1)}
    # The elastic shifts, about 6 pixels and smooth over 60, turn by a few degrees as well.
    assert -55 < min(angles) < -35 and 35 < max(angles) < 55
    # Their slope is about 0.07 along each axis, which makes the area vary by 0.1.
    assert 0.05 < np.std(scales) < 0.2
    assert np.mean(rests) < 0.7  # turning and deforming, each to the nearest pixel, leave 0.41 by themselves


def test_no_corner_is_left_empty():
    for shape in [(20, 900), (900, 20), (300, 300)]:
        augment, generator = GlandAugmentation(shape), np.random.default_rng(0)
        for _ in range(4):
            _, moved = augment(np.full((*shape, 3), 9, np.uint8), np.ones(shape, np.int32), generator)
            assert moved.all()


def test_brightness():
    # A flat grey has no contrast, no saturation and no hue to change.
    values = np.array([new.mean() for new, _ in draws(grey(100), glands(), 40)])
    assert 69 <= values.min() < 80
    assert 120 < values.max() <= 131
    for new, _ in draws(grey(100), glands(), 5):
        assert np.ptp(new) == 0


def test_contrast():
    image = grey(60)
    image[:, ::2] = 180
    spans = [np.ptp(new.mean(axis=2)) / new.mean() for new, _ in draws(image, glands(), 30)]
    # 120 around a mean of 120, times 0.8 to 1.2; linear interpolation can only lower it.
    assert max(spans) < 1.25
    assert max(spans) > 1.02


def test_hue_and_saturation():
    image = np.empty((*SIDES, 3), np.uint8)
    image[:] = (160, 40, 40)
    hues, saturations = [], []
    for new, _ in draws(image, glands(), 40):
        hue, saturation, _ = Image.fromarray(new).convert("HSV").getpixel((50, 30))
        hues.append((hue + 128) % 256 - 128)
        saturations.append(saturation)
    assert -27 <= min(hues) < -15  # a tenth of 255, and rounding
    assert 15 < max(hues) <= 27
    assert min(saturations) < 190 < max(saturations)  # 191 to begin with


def test_sizes_that_differ():
    with pytest.raises(ValueError, match="differ in height or width"):
        GlandAugmentation()(grey(1), glands()[1:])
