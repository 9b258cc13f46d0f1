import math
import pickle
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

pytest.importorskip("nnunetv2")

from nnunet_trainers.paper_augmentation import Rot90FlipTransform, paper_rotation, paper_training_transforms

PATCHES = [(32, 32), (32, 48), (33, 20)]
every_patch = pytest.mark.parametrize("patch", PATCHES, ids=str)


@pytest.fixture(autouse=True)
def seed() -> None:
    np.random.seed(0)


def transforms(patch: tuple[int, int], **more: Any) -> Any:
    """As nnU-Net asks for them."""
    return paper_training_transforms(patch, (-0.3, 0.3), None, (0, 1), False, **more)


def sample(patch: tuple[int, int], labels: int = 4) -> dict[str, torch.Tensor]:
    """An image that equals its mask, no value of which is the fill."""
    mask = torch.from_numpy(np.random.default_rng(1).integers(1, labels, size=(1, *patch))).to(torch.int16)
    return {"image": mask.float(), "segmentation": mask}


def outcomes(patch: tuple[int, int], draws: int) -> Counter[bytes]:
    image = torch.arange(math.prod(patch)).reshape(1, *patch)
    transform = Rot90FlipTransform(patch, probability=0.5)
    return Counter(transform(image=image)["image"].numpy().tobytes() for _ in range(draws))


def test_quarter_turns_and_flips_of_a_square() -> None:
    image = torch.arange(36).reshape(1, 6, 6)
    found = outcomes((6, 6), 4000)
    # A quarter turn and a flip make one of four reflections, each in two ways.
    reflections = [image.flip(1), image.flip(2), image.mT, image.flip(1).mT.flip(1)]
    assert set(found) == {value.contiguous().numpy().tobytes() for value in [image, *reflections]}
    assert 0.47 < found[image.numpy().tobytes()] / 4000 < 0.53
    assert all(0.1 < found[value.contiguous().numpy().tobytes()] / 4000 < 0.15 for value in reflections)


def test_half_turns_and_flips_of_another_patch() -> None:
    image = torch.arange(24).reshape(1, 4, 6)
    found = outcomes((4, 6), 4000)
    assert set(found) == {value.contiguous().numpy().tobytes() for value in (image, image.flip(1), image.flip(2))}
    assert 0.47 < found[image.numpy().tobytes()] / 4000 < 0.53


def test_angles() -> None:
    transform = paper_rotation((8, 8), probability=0.5)
    drawn = [transform.get_parameters(image=torch.zeros(1, 8, 8))["affine"] for _ in range(4000)]
    angles = [-math.degrees(math.asin(affine[1, 0])) for affine in drawn if affine is not None]
    assert 0.47 < len(angles) / 4000 < 0.53
    assert {round(angle, 6) for angle in angles} == set(range(20, 80))


# Not 45 degrees, where pixels have two nearest neighbours.
@every_patch
@pytest.mark.parametrize("angle", [20, 44, 79])
def test_rotation_is_that_of_scipy(patch: tuple[int, int], angle: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random, "randint", lambda low, high: angle)
    given = sample(patch)
    turned = paper_rotation(patch, probability=1)(**given)
    for before, after in zip(given.values(), turned.values(), strict=True):
        expected = ndimage.rotate(before[0].numpy(), angle, order=0, reshape=False)
        # Half a pixel at the border is fill there and image here.
        assert np.mean(after[0].numpy() == expected) > 0.95
        assert np.array_equal(after[0].numpy()[expected != 0], expected[expected != 0])


@every_patch
def test_image_and_mask_together(patch: tuple[int, int]) -> None:
    transform = transforms(patch)
    given = sample(patch)
    unchanged = 0
    for _ in range(400):
        done = transform(**{name: value.clone() for name, value in given.items()})
        assert done["image"].shape == done["segmentation"].shape == (1, *patch)
        assert (done["image"].dtype, done["segmentation"].dtype) == (torch.float32, torch.int16)
        assert set(done["segmentation"].unique().tolist()) <= {0, 1, 2, 3}
        assert torch.equal(done["image"], done["segmentation"].float())
        unchanged += torch.equal(done["image"], given["image"])
    assert 0.19 < unchanged / 400 < 0.31


def test_pickles() -> None:
    transform = transforms((32, 32))
    given = sample((32, 32))
    again = pickle.loads(pickle.dumps(transform))
    for _ in range(8):
        state = np.random.get_state()
        first = transform(**given)
        np.random.set_state(state)
        second = again(**given)
        assert all(torch.equal(first[name], second[name]) for name in given)


def test_outside_of_the_mask() -> None:
    given = {"image": torch.ones(2, 32, 32), "segmentation": torch.ones(1, 32, 32, dtype=torch.int16)}
    given["segmentation"][:, :16] = -1
    done = transforms((32, 32), use_mask_for_norm=[True, False])(**given)
    assert set(done["segmentation"].unique().tolist()) == {0, 1}
    assert torch.equal(done["image"][0], done["segmentation"][0].float())
    assert done["image"][1].sum() > done["image"][0].sum()


def test_regions() -> None:
    done = transforms((32, 32), regions=[(1, 2), 2], ignore_label=3)(**sample((32, 32)))
    expected = torch.stack(
        [(done["image"][0] == 1) | (done["image"][0] == 2), *(done["image"][0] == n for n in (2, 3))]
    )
    assert done["segmentation"].dtype == torch.bool
    assert torch.equal(done["segmentation"], expected)


def test_cascades_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="no cascades: train the 2d configuration"):
        transforms((32, 32), is_cascaded=True)
