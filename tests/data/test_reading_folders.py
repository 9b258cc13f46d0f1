from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from monai_lightseg.data import FileCase, read_folder
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.pairs import pair_files

from .official_folders import error_of, touch


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
    touch(tmp_path, "images/f.v2.NII.GZ", "masks/f.v2_mask.nii.gz", "images/g.dcm", "masks/g.mhd", "masks/g.raw")
    touch(tmp_path, "images/h.mha", "masks/h.nii", "images/mole é 1.png", "masks/mole é 1.png")
    cases = read_folder(tmp_path)
    assert [case.id for case in cases] == ["a", "b", "c", "d", "e", "f.v2", "g", "h", "mole é 1"]
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


@pytest.mark.parametrize("names", [("a.png", "a.jpg"), ("a.nii", "a.nii.gz"), ("a.mha", "a.mhd")])
def test_two_formats_of_one_id(tmp_path, names):
    touch(tmp_path, *(f"images/{name}" for name in names), "masks/a.png")
    first, second = sorted(names)
    assert error_of(read_folder, tmp_path) == f"{tmp_path}/images/{second} has the same id as {first}; keep one"


def test_ids_that_differ_only_in_capitals(tmp_path):
    touch(tmp_path, "images/A.png", "images/a.PNG", "masks/A.png", "masks/a.png")
    text = error_of(read_folder, tmp_path)
    assert text == f"{tmp_path}/images/a.PNG differs from A.png only in capitals; rename one"


def test_what_is_named_as_an_image_and_is_no_file(tmp_path):
    touch(tmp_path, "images/a.png", "masks/a.png")
    (tmp_path / "images/b.png").mkdir()
    (tmp_path / "images/c.nii.gz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "images/d.txt").mkdir()
    assert error_of(read_folder, tmp_path).splitlines() == [
        f"{tmp_path}/images/b.png is not a file; remove or rename it",
        f"{tmp_path}/images/c.nii.gz is not a file; remove or rename it",
    ]


def test_links_to_files_count(tmp_path):
    touch(tmp_path, "elsewhere.png", "images/readme.txt", "masks/a.png")
    (tmp_path / "images/a.png").symlink_to(tmp_path / "elsewhere.png")
    assert [case.id for case in read_folder(tmp_path)] == ["a"]


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
