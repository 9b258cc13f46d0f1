import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import (
    DataSet,
    Split,
    ph2_ids,
    read_data_set,
    read_isic2017,
    read_isic2018,
    read_ph2,
    write_nnunet_raw,
)

from .fake_glas import write_glas
from .official_folders import ISIC2017, ISIC2018, error_of, touch, write_isic, write_ph2

REAL = pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")
RELEASES = pytest.mark.parametrize(
    ("reader", "names", "title"), [(read_isic2017, ISIC2017, "ISIC 2017"), (read_isic2018, ISIC2018, "ISIC 2018")]
)
OFFICIAL_PH2 = """
||   Name ||   Histological Diagnosis ||  Clinical Diagnosis ||  Asymmetry ||  Pigment Network ||
|| IMD003 ||                          ||                   0 ||          0 ||               T  ||
|| IMD009 ||                          ||                   0 ||          0 ||               T  ||
|| IMD002 ||                       1  ||                   0 ||          1 ||               AT ||

PROPERTIES: LEGENDS
Clinical Diagnosis: 0 - Common Nevus; 1 - Atypical Nevus; 2 - Melanoma.
"""


@RELEASES
class TestIsic:
    def test_every_part(self, tmp_path, reader, names, title):
        for number, part in enumerate(names):
            write_isic(tmp_path, names[part], [f"ISIC_2{number}", f"ISIC_1{number}"])
        parts = reader(tmp_path)
        assert {part: [case.id for case in cases] for part, cases in parts.items()} == {
            "Training": ["ISIC_10", "ISIC_20"],
            "Validation": ["ISIC_11", "ISIC_21"],
            "Test": ["ISIC_12", "ISIC_22"],
        }
        assert parts["Test"][0].image_path == tmp_path / names["Test"][0] / "ISIC_12.jpg"
        assert parts["Test"][0].mask_path == tmp_path / names["Test"][1] / "ISIC_12_segmentation.png"

    def test_of_any_part(self, tmp_path, reader, names, title):
        write_isic(tmp_path, names["Test"], ["ISIC_1"])
        assert list(reader(tmp_path)) == ["Test"]

    @pytest.mark.parametrize("half", [0, 1])
    @pytest.mark.parametrize("part", ["Training", "Validation", "Test"])
    def test_half_a_part(self, tmp_path, reader, names, title, part, half):
        other = "Test" if part == "Training" else "Training"
        write_isic(tmp_path, names[other], ["ISIC_1"])
        write_isic(tmp_path, names[part], ["ISIC_2"])
        for path in (tmp_path / names[part][half]).iterdir():
            path.unlink()
        (tmp_path / names[part][half]).rmdir()
        text = error_of(reader, tmp_path)
        assert text.startswith(f"{tmp_path / names[part][half]} is missing; unpack it there")
        assert f"move the other half of the {part} part away" in text

    def test_no_part(self, tmp_path, reader, names, title):
        text = error_of(reader, tmp_path)
        assert str(tmp_path) in text and title in text and names["Training"][0] in text

    def test_missing_mask(self, tmp_path, reader, names, title):
        write_isic(tmp_path, names["Training"], ["ISIC_1", "ISIC_2"], ["ISIC_1"])
        assert "ISIC_2.jpg has no mask" in error_of(reader, tmp_path)

    def test_no_images(self, tmp_path, reader, names, title):
        write_isic(tmp_path, names["Training"], [])
        text = error_of(reader, tmp_path)
        assert str(tmp_path / names["Training"][0]) in text and "holds no ISIC_*.jpg" in text

    def test_folder_in_the_folder_of_its_name(self, tmp_path, reader, names, title):
        images, masks = names["Training"]
        write_isic(tmp_path, (f"{images}/{images}", masks), ["ISIC_1"])
        assert f"{tmp_path / images} holds no ISIC_*.jpg; unpack" in error_of(reader, tmp_path)
        write_isic(tmp_path, (images, f"{masks}/{masks}"), ["ISIC_1"])
        (tmp_path / masks / "ISIC_1_segmentation.png").unlink()
        assert f"{tmp_path / masks} holds no ISIC_*_segmentation.png; unpack" in error_of(reader, tmp_path)

    def test_one_id_in_two_parts(self, tmp_path, reader, names, title):
        write_isic(tmp_path, names["Training"], ["ISIC_1", "ISIC_2"])
        write_isic(tmp_path, names["Test"], ["ISIC_2", "ISIC_3"])
        image, other = (tmp_path / names[part][0] for part in ("Test", "Training"))
        assert error_of(reader, tmp_path) == f"{image / 'ISIC_2.jpg'} is also in {other}; keep one"


class TestPh2:
    @pytest.mark.parametrize("below", [".", ".."])
    def test_from_its_own_folder_and_from_the_one_above(self, tmp_path, below):
        top = write_ph2(tmp_path / "PH2Dataset", ["IMD009", "IMD002"], OFFICIAL_PH2)
        cases = read_ph2(tmp_path if below == ".." else top)
        assert [case.id for case in cases] == ["IMD002", "IMD009"]
        folder = top / "PH2 Dataset images" / "IMD002"
        assert cases[0].paths == (
            folder / "IMD002_Dermoscopic_Image/IMD002.bmp",
            folder / "IMD002_lesion/IMD002_lesion.bmp",
        )

    def test_case_that_is_not_listed(self, tmp_path):
        write_ph2(tmp_path, ["IMD002", "IMD999"], OFFICIAL_PH2)
        text = error_of(read_ph2, tmp_path)
        assert text == f"{tmp_path / 'PH2 Dataset images' / 'IMD999'} is not listed in PH2_dataset.txt; remove it"

    def test_without_a_list(self, tmp_path):
        write_ph2(tmp_path, ["IMD999"])
        assert [case.id for case in read_ph2(tmp_path)] == ["IMD999"]

    def test_missing_files(self, tmp_path):
        cases = read_ph2(write_ph2(tmp_path, ["IMD002", "IMD003", "IMD009"], OFFICIAL_PH2))
        cases[0].image_path.unlink()
        cases[2].mask_path.unlink()
        assert error_of(read_ph2, tmp_path).splitlines() == [
            f"{path} is missing; unpack it again or remove its case"
            for path in (cases[0].image_path, cases[2].mask_path)
        ]

    def test_long_lists_are_cut(self, tmp_path):
        write_ph2(tmp_path, [f"IMD{number}" for number in range(100, 108)], OFFICIAL_PH2)
        assert error_of(read_ph2, tmp_path).splitlines()[5:] == ["... and 3 more"]

    def test_no_images(self, tmp_path):
        assert "does not hold PH2 Dataset images" in error_of(read_ph2, tmp_path)
        assert "holds no case such as IMD002" in error_of(read_ph2, write_ph2(tmp_path, []))

    @pytest.mark.parametrize(
        "text",
        [OFFICIAL_PH2, "Name\tClinical Diagnosis\nIMD003\t0\nIMD009\t0\nIMD002\t1\n", "IMD003\nIMD009\nIMD002\nIMD009"],
    )
    def test_ids(self, tmp_path, text):
        (tmp_path / "list.txt").write_text(text)
        assert ph2_ids(tmp_path / "list.txt") == ["IMD003", "IMD009", "IMD002"]

    def test_ids_of_no_list(self, tmp_path):
        (tmp_path / "list.txt").write_bytes(b"\xff\xfe IMD1 \x80")
        assert "names no id" in error_of(ph2_ids, tmp_path / "list.txt")
        assert f"{tmp_path / 'none.txt'} cannot be read" in error_of(ph2_ids, tmp_path / "none.txt")


def isic2018(folder: Path) -> Path:
    write_isic(folder, ISIC2018["Test"], ["ISIC_1"])
    return write_isic(folder, ISIC2018["Training"], ["ISIC_3", "ISIC_2"])


def isic2017(folder: Path) -> Path:
    return write_isic(folder, ISIC2017["Validation"], ["ISIC_5"])


def ph2(folder: Path) -> Path:
    write_ph2(folder / "PH2Dataset", ["IMD002"])
    return folder


def glas(folder: Path) -> Path:
    return write_glas(folder, ["testB_1", "train_2", "train_1"])


def plain(folder: Path) -> Path:
    return touch(folder, "images/a.png", "masks/a.png")


KINDS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "isic2018": (isic2018, "ISIC 2018 Task 1"),
    "isic2017": (isic2017, "ISIC 2017"),
    "ph2": (ph2, "PH2"),
    "glas": (glas, "GlaS"),
    "folder": (plain, "images and masks"),
}


@pytest.mark.parametrize(
    ("kind", "ids", "parts"),
    [
        ("isic2018", ["ISIC_2", "ISIC_3", "ISIC_1"], {"Training": ("ISIC_2", "ISIC_3"), "Test": ("ISIC_1",)}),
        ("isic2017", ["ISIC_5"], {"Validation": ("ISIC_5",)}),
        ("ph2", ["IMD002"], {}),
        ("glas", ["train_1", "train_2", "testB_1"], {"train": ("train_1", "train_2"), "testB": ("testB_1",)}),
        ("folder", ["a"], {}),
    ],
)
def test_every_kind(tmp_path, kind, ids, parts):
    write, title = KINDS[kind]
    found = read_data_set(write(tmp_path))
    of_glands = kind == "glas"
    assert [case.id for case in found.cases] == ids
    assert found == DataSet(kind, title, found.cases, parts, "gland" if of_glands else "lesion", of_glands)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_two_kinds_in_one_folder(tmp_path, first, second):
    if list(KINDS).index(first) >= list(KINDS).index(second):
        return
    (write, title), (write_second, second_title) = KINDS[first], KINDS[second]
    write_second(write(tmp_path))
    text = error_of(read_data_set, tmp_path)
    assert text.startswith(f"{tmp_path} holds {title} and {second_title}; ")
    assert "pass one of them" in text


@pytest.mark.parametrize("kind", KINDS)
def test_one_level_too_high(tmp_path, kind):
    write, title = KINDS[kind]
    folder = write(tmp_path / "some folder")
    text = error_of(read_data_set, tmp_path)
    assert f"{tmp_path} itself holds no data set" in text
    assert f"{folder} holds {title}: pass that folder" in text


@pytest.mark.parametrize(
    ("kind", "inner"),
    [
        ("isic2018", ISIC2018["Training"][0]),
        ("isic2018", ISIC2018["Test"][1]),
        ("isic2017", ISIC2017["Validation"][0]),
        ("ph2", "PH2Dataset/PH2 Dataset images"),
        ("folder", "masks"),
    ],
)
def test_one_level_too_low(tmp_path, monkeypatch, kind, inner):
    write, title = KINDS[kind]
    inside = write(tmp_path / "data") / inner
    text = error_of(read_data_set, inside)
    assert f"{inside} itself holds no data set" in text
    assert f"{inside.parent} holds {title}: pass that folder" in text
    monkeypatch.chdir(inside)
    assert f"{inside.parent} holds {title}" in error_of(read_data_set, Path())


def test_nothing_known(tmp_path):
    (tmp_path / "data").mkdir()
    text = error_of(read_data_set, tmp_path / "data")
    assert "\n" not in text and str(tmp_path / "data") in text
    names = [ISIC2018["Training"][0], ISIC2017["Training"][1], "PH2 Dataset images", "train_1.bmp", "images and masks"]
    assert all(name in text for name in names)


def test_no_folder(tmp_path):
    touch(tmp_path, "archive.zip")
    for name in ("archive.zip", "nowhere"):
        assert f"{tmp_path / name} is no folder" in error_of(read_data_set, tmp_path / name)


@pytest.mark.parametrize("kind", ["isic2018", "folder"])
def test_half_a_kind(tmp_path, kind):
    half = f"{ISIC2018['Training'][0]}/ISIC_1.jpg" if kind == "isic2018" else "masks/a.png"
    said = f"{ISIC2018['Training'][1]} is missing" if kind == "isic2018" else "does not hold both images and masks"
    assert said in error_of(read_data_set, touch(tmp_path, half))


def test_folder_that_may_not_be_opened(tmp_path, monkeypatch):
    def refuse(path: Path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    text = error_of(read_data_set, plain(tmp_path))
    assert text == f"{tmp_path} cannot be read (Permission denied); check its permissions"


@pytest.mark.real
@REAL
@pytest.mark.parametrize(
    ("name", "kind", "parts", "cases"),
    [
        ("isic2018", "isic2018", {"Training": 2594}, 2594),
        ("isic2017", "isic2017", {"Training": 2000}, 2000),
        ("ph2", "ph2", {}, 10),
        ("ph2/PH2Dataset", "ph2", {}, 10),
        ("glas/Warwick QU Dataset (Released 2016_07_08)", "glas", {"train": 8, "testA": 4, "testB": 4}, 16),
    ],
)
def test_real_folders(name, kind, parts, cases):
    found = read_data_set(Path(os.environ["LIGHTSEG_DATA"]) / name)
    assert (found.kind, len(found.cases)) == (kind, cases)
    assert {part: len(ids) for part, ids in found.parts.items()} == parts
    for case in found.cases[:: max(1, cases // 10)]:
        image, label = case.read_image(), case.read_label()
        assert image.shape[2] == 3
        assert 0 < (label > 0).mean() < 1
        assert kind == "isic2017" or image.shape[:2] == label.shape


@pytest.mark.real
@REAL
def test_real_ph2_list():
    ids = ph2_ids(Path(os.environ["LIGHTSEG_DATA"]) / "ph2/PH2Dataset/PH2_dataset.txt")
    assert len(ids) == 200


@pytest.mark.real
@REAL
def test_real_isic2018_is_written_as_it_is_read(tmp_path):
    cases = read_data_set(Path(os.environ["LIGHTSEG_DATA"]) / "isic2018").cases
    few = cases[::1000]
    split = Split((few[0].id,), (few[1].id,), (few[2].id,))
    written = write_nnunet_raw(
        cases, split, dataset_id=18, name="ISIC", raw=tmp_path, preprocessed=tmp_path / "preprocessed", progress=False
    )
    for case, part in zip(few, ("Tr", "Tr", "Ts"), strict=True):
        image, mask = case.read_pair()
        np.testing.assert_array_equal(
            np.asarray(Image.open(written.folder / f"images{part}/{case.id}_0000.png")), image
        )
        np.testing.assert_array_equal(np.asarray(Image.open(written.folder / f"labels{part}/{case.id}.png")), mask)
        assert 0 < mask.mean() < 1
