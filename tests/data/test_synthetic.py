import numpy as np
import pytest

from monai_lightseg.data import SyntheticCase, synthetic_cases
from monai_lightseg.errors import LightsegError

PAIRS = [case.read_pair() for case in synthetic_cases(60)]


def best_dice_of_one_threshold() -> float:
    greys = np.stack([image.mean(axis=2) for image, _ in PAIRS])
    masks = np.stack([mask for _, mask in PAIRS]).astype(bool)
    scores = []
    for threshold in range(60, 220, 10):
        found = greys < threshold
        overlap = (found & masks).sum(axis=(1, 2))
        scores.append(np.mean(2 * overlap / (found.sum(axis=(1, 2)) + masks.sum(axis=(1, 2)))))
    return float(max(scores))


def test_shapes_types_and_share():
    for image, mask in PAIRS:
        assert image.shape == (192, 256, 3)
        assert mask.shape == (192, 256)
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}
        assert 0.05 < mask.mean() < 0.5


def test_same_seed_and_index_give_the_same_pixels():
    for case, (image, mask) in zip(synthetic_cases(5), PAIRS, strict=False):
        again_image, again_mask = case.read_pair()
        np.testing.assert_array_equal(again_image, image)
        np.testing.assert_array_equal(again_mask, mask)


def test_every_index_and_seed_differs():
    drawn = [image.tobytes() for image, _ in PAIRS]
    drawn += [case.read_pair()[0].tobytes() for case in synthetic_cases(5, seed=1)]
    assert len(set(drawn)) == len(drawn)
    assert len({mask.tobytes() for _, mask in PAIRS}) == len(PAIRS)


def test_lesion_is_darker_than_skin_but_no_threshold_finds_it():
    assert all(image[mask > 0].mean() < image[mask == 0].mean() for image, mask in PAIRS)
    assert 0.6 < best_dice_of_one_threshold() < 0.92


@pytest.mark.parametrize("size", [(32, 32), (64, 400), (401, 63)])
def test_other_sizes(size):
    for case in synthetic_cases(20, size=size):
        image, mask = case.read_pair()
        assert image.shape == (*size, 3)
        assert 0.05 < mask.mean() < 0.5


def test_ids_are_unique_and_sorted():
    ids = [case.id for case in synthetic_cases(12)]
    assert ids == sorted(set(ids))


@pytest.mark.parametrize(
    "arguments",
    [{"index": -1}, {"index": 0, "seed": -1}, {"index": 0, "size": (31, 64)}, {"index": 0, "size": (64, 0)}],
)
def test_bad_arguments(arguments):
    with pytest.raises(LightsegError):
        SyntheticCase(**arguments)


def test_bad_count():
    with pytest.raises(LightsegError, match="count is 0"):
        synthetic_cases(0)
