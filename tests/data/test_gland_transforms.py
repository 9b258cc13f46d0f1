import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.data.utils import set_rnd
from monai.transforms import Compose, LoadImaged, Zoomd
from PIL import Image

from monai_lightseg.data import gland_targets
from monai_lightseg.data.gland_readers import LabelsReader, glands_in
from monai_lightseg.data.gland_transforms import GlandInstancesd, GlandTargetsd, RandGlandAugmentationd
from monai_lightseg.data.monai_readers import RGBReader
from monai_lightseg.errors import LightsegError
from tests.data.fake_glas import ALL, VALIDATION, labels_of, write_glas

VALIDATING = [f"train_{number}" for number in VALIDATION]
READ = [
    LoadImaged("image", reader=RGBReader, ensure_channel_first=True),
    LoadImaged("label", reader=LabelsReader, ensure_channel_first=True),
]


@pytest.fixture
def item() -> dict[str, MetaTensor]:
    """An image whose red tells glands apart, as the labels do, with numbers beyond 8 bits."""
    labels = labels_of("train_1").astype(np.int32) * 100
    image = np.stack([labels > 0, labels > 0, labels > 0]) * np.float32(200)
    return {"image": MetaTensor(image), "label": MetaTensor(labels[None].astype(np.float32))}


def test_parts_of_glas(tmp_path):
    write_glas(tmp_path, ALL)
    counts = {part: len(glands_in(str(tmp_path), part)) for part in ("training", "validation", "test")}
    assert counts == {"training": 75, "validation": 10, "test": 80}
    assert len(glands_in(str(tmp_path), "testA")) == 60
    of_b = glands_in(str(tmp_path), "testB")
    assert of_b[1] == {"image": str(tmp_path / "testB_2.bmp"), "label": str(tmp_path / "testB_2_anno.bmp")}
    assert glands_in(str(tmp_path), "testA") + of_b == glands_in(str(tmp_path), "test")
    assert {item["image"] for item in glands_in(str(tmp_path), "validation")} == {
        str(tmp_path / f"{name}.bmp") for name in VALIDATING
    }
    with pytest.raises(ValueError, match="training"):
        glands_in(str(tmp_path), "train")


def test_glas_without_images_to_validate_is_refused(tmp_path):
    write_glas(tmp_path, [*VALIDATING[1:], "train_1"])
    with pytest.raises(LightsegError, match="train_25"):
        glands_in(str(tmp_path), "training")


@pytest.mark.parametrize("annotation", ["bmp", "png"])
def test_labels_are_read_rows_first_and_keep_their_numbers(tmp_path, annotation):
    write_glas(tmp_path, [*VALIDATING, "train_1"], annotation=annotation)
    read = Compose(READ)(glands_in(str(tmp_path), "validation")[0])
    np.testing.assert_array_equal(read["label"][0], labels_of("train_25"))
    np.testing.assert_array_equal(read["image"], np.repeat(labels_of("train_25")[None] * 60, 3, axis=0))


def test_labels_of_16_bits(tmp_path):
    labels = labels_of("train_1").astype(np.uint16) * 1000
    Image.fromarray(labels).save(tmp_path / "labels.png")
    read = LoadImaged("label", reader=LabelsReader, ensure_channel_first=True)({"label": str(tmp_path / "labels.png")})
    np.testing.assert_array_equal(read["label"], labels[None])


def test_a_mask_is_refused_as_labels(tmp_path):
    Image.fromarray((labels_of("train_1") > 0).astype(np.uint8) * 255).save(tmp_path / "mask.png")
    with pytest.raises(LightsegError, match="a number of its own"):
        LoadImaged("label", reader=LabelsReader)({"label": str(tmp_path / "mask.png")})


def test_the_random_state_decides(item):
    augment = RandGlandAugmentationd((32, 48))
    runs = []
    for seed in (3, 3, 4):
        augment.set_random_state(seed=seed)
        runs.append([augment(item)["label"] for _ in range(2)])
    first, again, other = runs
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], other[0])


def test_a_cached_data_set_draws_anew_and_from_its_seed(tmp_path):
    write_glas(tmp_path, [*VALIDATING, "train_1"])
    transforms = [*READ, RandGlandAugmentationd((32, 48))]
    data = CacheDataset(glands_in(str(tmp_path), "validation"), transforms, num_workers=0, progress=False)
    drawn = []
    for seed in (7, 7, 8):
        set_rnd(data, seed=seed)
        drawn.append(data[0]["label"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[2], data[0]["label"])


@pytest.mark.parametrize("size", [(32, 48), (176, 256)])
def test_augmentation_keeps_labels_labels_and_moves_them_with_the_image(item, size):
    before = {key: value.clone() for key, value in item.items()}
    augment = RandGlandAugmentationd(size)
    augment.set_random_state(seed=0)
    for _ in range(8):
        new = augment(item)
        image, labels = new["image"], new["label"]
        assert (image.shape, labels.shape) == ((3, *size), (1, *size))
        assert image.dtype == labels.dtype == torch.float32 and isinstance(image, MetaTensor)
        assert image.min() >= 0 and 100 < image.max() <= 255
        assert set(labels.unique().tolist()) <= {0, 100, 300, 400}
        # Half way between the two greys, whatever the jitter did to them; interpolated edges may fall either way.
        bright = image.mean(dim=0)
        agree = (bright > (bright.min() + bright.max()) / 2) == (labels[0] > 0)
        assert agree.float().mean() > 0.95
    assert all(torch.equal(item[key], before[key]) for key in item)


def test_images_are_rounded_and_not_cut_off(item):
    drawn = []
    for grey in (199.6, 200.4):
        augment = RandGlandAugmentationd((32, 48))
        augment.set_random_state(seed=0)
        drawn.append(augment(item | {"image": torch.full((3, 40, 48), grey)})["image"])
    assert torch.equal(*drawn)


def test_targets(item):
    targets = GlandTargetsd("label", border=2)(item)["label"]
    assert targets.shape == (2, 40, 48) and targets.dtype == torch.float32
    np.testing.assert_array_equal(targets, gland_targets(labels_of("train_1"), 2))
    # Glands that touch do so in the second target only.
    assert targets[0, 10, 17] == targets[0, 10, 18] == 0
    assert targets[1, 10, 17] == targets[1, 10, 18] == 1
    assert isinstance(targets, MetaTensor)


def test_reduced_labels_stay_labels_and_on_their_image(item):
    zoom = Zoomd(["image", "label"], 0.3303226, mode=["bilinear", "nearest-exact"], keep_size=False)
    reduced = zoom(item)
    assert reduced["image"].shape[1:] == reduced["label"].shape[1:] == (13, 15)
    assert set(reduced["label"].unique().tolist()) == {0, 100, 300, 400}


def test_instances_are_found_in_their_order_of_channels():
    maps = torch.stack([torch.full((4, 6), 0.25), torch.full((4, 6), 0.75)])
    seen = []

    def find(eroded, gland):
        seen.extend([eroded.mean(), gland.mean()])
        return np.arange(24, dtype=np.int32).reshape(4, 6) * 100

    found = GlandInstancesd("pred", find)({"pred": MetaTensor(maps, meta={"filename_or_obj": "a.png"})})["pred"]
    assert seen == [0.25, 0.75]
    assert found.shape == (1, 4, 6) and found.max() == 2300
    assert found.meta["filename_or_obj"] == "a.png"
