import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_lightseg.data import FileCase, Split, read_cases, read_folder, read_isic2018, write_nnunet_raw
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.pairs import pair_files
from monai_lightseg.errors import LightsegError

ISIC_IMAGES, ISIC_MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def error_of(reader, *arguments) -> str:
    with pytest.raises(LightsegError) as caught:
        reader(*arguments)
    return str(caught.value)


def test_case_reads_both_files(tmp_path):
    Image.new("RGB", (8, 6), (1, 2, 3)).save(tmp_path / "a.png")
    Image.new("L", (8, 6), 255).save(tmp_path / "m.png")
    image, mask = FileCase("a", tmp_path / "a.png", tmp_path / "m.png").read_pair()
    assert image.shape == (6, 8, 3)
    assert mask.shape == (6, 8)
    assert mask.all()


def test_case_names_both_files_and_sizes_that_differ(tmp_path):
    Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    Image.new("L", (6, 8)).save(tmp_path / "m.png")
    text = error_of(FileCase("a", tmp_path / "a.png", tmp_path / "m.png").read_pair)
    assert str(tmp_path / "a.png") in text and "6 x 8" in text
    assert str(tmp_path / "m.png") in text and "8 x 6" in text


def test_folder_takes_every_suffix_and_ignores_the_rest(tmp_path):
    touch(tmp_path, "images/b.PNG", "images/a.jpeg", "images/c.Tiff", "images/d.bmp", "images/e.jpg")
    touch(tmp_path, "masks/a.png", "masks/b_mask.png", "masks/c_lesion.tif", "masks/d_anno.bmp")
    touch(tmp_path, "masks/e_segmentation.png", "images/readme.txt", "images/._a.png", "masks/Thumbs.db")
    cases = read_folder(tmp_path)
    assert [case.id for case in cases] == ["a", "b", "c", "d", "e"]
    assert cases[1] == FileCase("b", tmp_path / "images/b.PNG", tmp_path / "masks/b_mask.png")


def test_exact_stem_goes_before_suffix(tmp_path):
    touch(tmp_path, "images/a.png", "images/a_mask.png", "masks/a.png", "masks/a_mask.png")
    assert [case.mask_path.name for case in read_folder(tmp_path)] == ["a.png", "a_mask.png"]


@pytest.mark.parametrize("present", [[], ["images/a.png"], ["masks/a.png"]])
def test_folder_without_both(tmp_path, present):
    text = error_of(read_folder, touch(tmp_path, *present))
    assert str(tmp_path) in text and "images and masks" in text


def test_empty_folders(tmp_path):
    touch(tmp_path, "images/a.txt", "masks/a.txt")
    assert str(tmp_path / "images") in error_of(read_folder, tmp_path)


def test_missing_pairs_and_duplicates_are_all_named(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "images/b.jpg", "masks/b.png", "masks/b_mask.png", "masks/c.png")
    lines = error_of(read_folder, tmp_path).splitlines()
    assert lines == [
        f"{tmp_path}/images/a.png has no mask; add one or remove the image",
        f"{tmp_path}/masks/c.png has no image; add one or remove the mask",
        f"{tmp_path}/images/b.png has the same id as b.jpg; keep one",
        f"{tmp_path}/masks/b_mask.png has the same id as b.png; keep one",
    ]


def test_long_lists_are_cut(tmp_path):
    touch(tmp_path, *(f"images/{number}.png" for number in range(8)), "masks/0.png")
    lines = error_of(read_folder, tmp_path).splitlines()
    assert len(lines) == 5 + 1
    assert lines[-1] == "... and 2 more"


def test_first_few_at_its_limit():
    assert first_few(["a", "b"], 2) == ["a", "b"]
    assert first_few(["a", "b", "c"], 2) == ["a", "b", "... and 1 more"]


@given(
    images=st.sets(st.text("abc", min_size=1, max_size=3), max_size=8),
    masks=st.sets(st.text("abc", min_size=1, max_size=3), max_size=8),
    suffix=st.sampled_from(["", "_mask"]),
)
@settings(max_examples=100, deadline=None)
def test_pairing_is_all_or_an_error_that_names_the_odd_ones(images, masks, suffix):
    image_files = [Path(f"images/{name}.jpg") for name in images]
    mask_files = [Path(f"masks/{name}{suffix}.png") for name in masks]
    if images == masks:
        cases = pair_files(image_files, mask_files, ["_mask"])
        assert [case.id for case in cases] == sorted(images)
        assert all(case.mask_path.stem == case.image_path.stem + suffix for case in cases)
    else:
        text = error_of(pair_files, image_files, mask_files, ["_mask"])
        assert text.count(" has no mask") == min(5, len(images - masks))
        assert text.count(" has no image") == min(5, len(masks - images))


def isic(folder: Path, images: list[str], masks: list[str]) -> Path:
    touch(folder, *(f"{ISIC_IMAGES}/{name}.jpg" for name in images), f"{ISIC_IMAGES}/ATTRIBUTION.txt")
    touch(folder, *(f"{ISIC_MASKS}/{name}_segmentation.png" for name in masks), f"{ISIC_MASKS}/LICENSE.txt")
    return touch(folder, f"{ISIC_IMAGES}/{images[0]}_superpixels.png", f"{ISIC_MASKS}/{images[0]}_superpixels.png")


def test_isic_is_sorted_and_ignores_other_files(tmp_path):
    cases = read_isic2018(isic(tmp_path, ["ISIC_2", "ISIC_1"], ["ISIC_1", "ISIC_2"]))
    assert [case.id for case in cases] == ["ISIC_1", "ISIC_2"]
    assert cases[0].mask_path == tmp_path / ISIC_MASKS / "ISIC_1_segmentation.png"


def test_isic_missing_mask(tmp_path):
    assert "ISIC_2.jpg has no mask" in error_of(read_isic2018, isic(tmp_path, ["ISIC_1", "ISIC_2"], ["ISIC_1"]))


@pytest.mark.parametrize("part", ["Training", "Validation", "Test"])
def test_isic_folders_absent(tmp_path, part):
    text = error_of(read_isic2018, tmp_path, part)
    assert f"ISIC2018_Task1-2_{part}_Input" in text
    assert f"ISIC2018_Task1_{part}_GroundTruth" in text
    assert "pass the folder" in text


def test_isic_unknown_part(tmp_path):
    assert "'train'" in error_of(read_isic2018, tmp_path, "train")


def test_isic_without_images(tmp_path):
    touch(tmp_path, f"{ISIC_IMAGES}/ATTRIBUTION.txt", f"{ISIC_MASKS}/LICENSE.txt")
    assert "holds no ISIC_*.jpg" in error_of(read_isic2018, tmp_path)


def test_detection(tmp_path):
    isic(tmp_path / "isic", ["ISIC_1"], ["ISIC_1"])
    touch(tmp_path / "plain", "images/a.png", "masks/a.png")
    assert [case.id for case in read_cases(tmp_path / "isic")] == ["ISIC_1"]
    assert [case.id for case in read_cases(tmp_path / "plain")] == ["a"]


def test_detection_says_what_it_looked_for(tmp_path):
    text = error_of(read_cases, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in text
    assert all(name in text for name in (ISIC_IMAGES, ISIC_MASKS, "images and masks"))


def test_detection_of_half_a_layout(tmp_path):
    touch(tmp_path / "isic", f"{ISIC_IMAGES}/ISIC_1.jpg")
    touch(tmp_path / "plain", "masks/a.png")
    assert f"does not hold both {ISIC_IMAGES} and {ISIC_MASKS}" in error_of(read_cases, tmp_path / "isic")
    assert "does not hold both images and masks" in error_of(read_cases, tmp_path / "plain")


@pytest.mark.real
@pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")
def test_real_isic2018(tmp_path):
    cases = read_cases(Path(os.environ["LIGHTSEG_DATA"]) / "isic2018")
    assert len(cases) == 2594
    few = cases[::1000]
    split = Split((few[0].id,), (few[1].id,), (few[2].id,))
    dataset = write_nnunet_raw(
        cases, split, dataset_id=18, name="ISIC", raw=tmp_path, preprocessed=tmp_path / "preprocessed", progress=False
    )
    for case, part in zip(few, ("Tr", "Tr", "Ts"), strict=True):
        image, mask = case.read_pair()
        np.testing.assert_array_equal(np.asarray(Image.open(dataset / f"images{part}/{case.id}_0000.png")), image)
        np.testing.assert_array_equal(np.asarray(Image.open(dataset / f"labels{part}/{case.id}.png")), mask)
        assert 0 < mask.mean() < 1
