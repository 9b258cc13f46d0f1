import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import GlasCase, glas_split, read_glas, read_labels
from monai_lightseg.errors import LightsegError

from .fake_glas import ALL, VALIDATION, labels_of, write_glas, write_grades

REAL = pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")


def error_of(reader, *arguments) -> str:
    with pytest.raises(LightsegError) as caught:
        reader(*arguments)
    text = str(caught.value)
    assert all(" " in line for line in text.splitlines())
    return text


@pytest.mark.parametrize(("image", "annotation"), [("bmp", "bmp"), ("jpg", "png"), ("png", "png")])
def test_cases_in_the_order_of_their_numbers(tmp_path, image, annotation):
    names = ["testB_1", "train_10", "testA_3", "train_2", "testA_12"]
    folder = write_glas(tmp_path, names, image, annotation)
    (folder / "Thumbs.db").touch()
    (folder / "._train_2.bmp").touch()
    cases = read_glas(folder)
    assert [case.id for case in cases] == ["train_2", "train_10", "testA_3", "testA_12", "testB_1"]
    assert [case.part for case in cases] == ["train", "train", "testA", "testA", "testB"]
    assert {(case.grade, case.patient) for case in cases} == {(None, None)}
    pixels, labels = cases[1].read_pair()
    assert (pixels.shape, pixels.dtype, labels.dtype) == ((40, 48, 3), np.uint8, np.int32)
    np.testing.assert_array_equal(labels, labels_of("train_10"))


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        ("patient ID,name,grade", ["4,train_1, benign", "10,testA_1, malignant", "1,testB_9, benign"]),
        (
            "name,patient ID, grade (GlaS), grade (Sirinukunwattana et al. 2015)",
            ["train_1,4, benign, adenomatous", "testA_1,10, malignant, poorly differentiated", ""],
        ),
        ("\ufeffname ,patient ID,grade", ["train_1,4,benign", " testA_1 ,10,malignant"]),
    ],
)
def test_grades(tmp_path, header, lines):
    write_grades(write_glas(tmp_path, ["train_1", "testA_1"]), lines, header)
    assert [(case.grade, case.patient) for case in read_glas(tmp_path)] == [("benign", "4"), ("malignant", "10")]


def test_grades_without_patients(tmp_path):
    write_grades(write_glas(tmp_path, ["train_1"]), ["train_1,benign"], "name,grade")
    assert read_glas(tmp_path)[0].patient is None


@pytest.mark.parametrize(
    ("header", "lines", "said"),
    [
        ("name,degree", ["train_1,benign"], "name, degree; it needs name and grade"),
        ("patient ID,grade", ["1,benign"], "it needs name and grade"),
        ("name,grade", ["train_1,healthy"], "train_1 the grade 'healthy'"),
        ("name,grade", ["train_1"], "train_1 the grade None"),
        ("name,grade", ["train_1,benign", "train_1,malignant"], "names train_1 twice"),
        ("name,grade", ["train_2,benign"], "no line for train_1"),
    ],
)
def test_bad_grades(tmp_path, header, lines, said):
    write_grades(write_glas(tmp_path, ["train_1"]), lines, header)
    text = error_of(read_glas, tmp_path)
    assert str(tmp_path / "Grade.csv") in text and said in text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01", b"\n\n"])
def test_grades_that_are_no_table(tmp_path, content):
    (write_glas(tmp_path, ["train_1"]) / "Grade.csv").write_bytes(content)
    assert f"{tmp_path / 'Grade.csv'} cannot be read as a table" in error_of(read_glas, tmp_path)


def test_missing_halves_and_duplicates_are_named(tmp_path):
    write_glas(tmp_path, ["train_1", "train_2", "train_3"])
    (tmp_path / "train_1_anno.bmp").unlink()
    (tmp_path / "train_2.bmp").unlink()
    (tmp_path / "train_3.png").touch()
    assert error_of(read_glas, tmp_path).splitlines() == [
        f"{tmp_path}/train_1.bmp has no mask; add one or remove the image",
        f"{tmp_path}/train_2_anno.bmp has no image; add one or remove the mask",
        f"{tmp_path}/train_3.png has the same id as train_3.bmp; keep one",
    ]


@pytest.mark.parametrize("name", ["test_1.bmp", "train_01.bmp", "train_1_mask.png", "testC_1.jpg", "train_.png"])
def test_other_names_are_refused(tmp_path, name):
    (write_glas(tmp_path, ["train_1"]) / name).touch()
    text = error_of(read_glas, tmp_path)
    assert str(tmp_path / name) in text and "train_N, testA_N or testB_N" in text


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_no_images(tmp_path, folder):
    assert "holds no bmp, png or jpg file" in error_of(read_glas, tmp_path / folder)


def test_picture_that_is_no_file(tmp_path):
    (write_glas(tmp_path, ["train_1"]) / "train_2.bmp").mkdir()
    assert f"{tmp_path}/train_2.bmp is not a file" in error_of(read_glas, tmp_path)


def test_sizes_that_differ(tmp_path):
    Image.fromarray(labels_of("")[:30]).save(write_glas(tmp_path, ["train_1"]) / "train_1_anno.bmp")
    text = error_of(read_glas(tmp_path)[0].read_pair)
    assert "train_1.bmp is 40 x 48" in text and "train_1_anno.bmp is 30 x 48" in text


def test_split_of_the_paper(tmp_path):
    for name in ALL:
        (tmp_path / f"{name}.bmp").touch()
        (tmp_path / f"{name}_anno.bmp").touch()
    split = glas_split(read_glas(tmp_path))
    assert split.val == tuple(f"train_{number}" for number in VALIDATION)
    assert split.train == tuple(f"train_{number}" for number in range(1, 86) if number not in VALIDATION)
    assert split.test == tuple(ALL[85:])


def test_split_without_its_validation_images(tmp_path):
    cases = [GlasCase(name, tmp_path, tmp_path, "train") for name in ALL[:85] if name not in ("train_55", "train_25")]
    assert "train_25, train_55" in error_of(glas_split, cases)


class TestReadLabels:
    @pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
    def test_eight_bits(self, tmp_path, name):
        Image.fromarray(labels_of("")).save(tmp_path / name)
        labels = read_labels(tmp_path / name)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, labels_of(""))

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_sixteen_bits(self, tmp_path, name):
        labels = labels_of("").astype(np.uint16) * 400
        Image.fromarray(labels).save(tmp_path / name)
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels)

    @pytest.mark.parametrize("name", ["a.png", "a.bmp"])
    def test_of_a_palette_the_index_counts(self, tmp_path, name):
        picture = Image.fromarray(labels_of(""), "P")
        picture.putpalette([9, 9, 9, 255, 0, 0, 255, 0, 0, 0, 0, 255, 9, 9, 9])
        picture.save(tmp_path / name)
        np.testing.assert_array_equal(read_labels(tmp_path / name), labels_of(""))

    def test_one_bit(self, tmp_path):
        Image.fromarray(labels_of("") == 4).save(tmp_path / "a.png")
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels_of("") == 4)

    @pytest.mark.parametrize(
        ("values", "mode", "name", "said"),
        [
            (labels_of(""), "RGB", "a.png", "colour mode RGB"),
            (labels_of(""), "LA", "a.png", "colour mode LA"),
            (labels_of(""), "L", "a.jpg", "JPEG, which blurs"),
            (labels_of("") - np.int32(1), "I", "a.tif", "the value -1"),
            ((labels_of("") > 0) * np.uint8(255), "L", "a.png", "only 0 and 255, a mask"),
        ],
    )
    def test_what_is_refused(self, tmp_path, values, mode, name, said):
        Image.fromarray(values).convert(mode).save(tmp_path / name)
        text = error_of(read_labels, tmp_path / name)
        assert text.startswith(str(tmp_path / name)) and said in text

    def test_damaged(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no picture")
        assert "cannot be read as an image" in error_of(read_labels, tmp_path / "a.png")


@pytest.mark.real
@REAL
def test_real_official_folder():
    cases = read_glas(Path(os.environ["LIGHTSEG_DATA"]) / "glas" / "Warwick QU Dataset (Released 2016_07_08)")
    assert Counter(case.part for case in cases) == {"train": 8, "testA": 4, "testB": 4}
    assert [case.id for case in cases][:4] == ["train_1", "train_2", "train_3", "train_10"]
    assert {case.id: (case.grade, case.patient) for case in cases}["testA_1"] == ("benign", "4")
    assert {case.grade for case in cases} == {"benign", "malignant"}
    for case in cases:
        image, labels = case.read_pair()
        assert image.shape[:2] == ((453, 589) if case.id == "testA_2" else (522, 775))
        numbers = np.unique(labels)
        np.testing.assert_array_equal(numbers, np.arange(len(numbers)))


@pytest.mark.real
@REAL
def test_real_reduced_folder():
    cases = read_glas(Path(os.environ["LIGHTSEG_DATA"]) / "glas" / "reduced")
    assert [case.id for case in cases] == ALL
    split = glas_split(cases)
    assert (len(split.train), len(split.val), len(split.test)) == (75, 10, 80)
    image, labels = cases[0].read_pair()
    assert image.shape == (345, 512, 3)
    assert labels.max() == 7
