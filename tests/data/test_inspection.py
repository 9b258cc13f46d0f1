import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import (
    DataSet,
    FileCase,
    Folds,
    Inspection,
    Protocol,
    ProtocolPart,
    find_near_duplicates,
    ids_checksum,
    image_signature,
    inspect_data_set,
    inspection_report,
    load_protocol,
    read_data_set,
    synthetic_cases,
)
from monai_lightseg.errors import LightsegError

SYNTHETIC = synthetic_cases(6, size=(96, 128))


def write_folder(folder: Path, names: str) -> Path:
    """Images and masks, a letter each; drawn anew for each letter."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    for name, case in zip(names, SYNTHETIC, strict=False):
        image, mask = case.read_pair()
        Image.fromarray(image).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask * np.uint8(255)).save(folder / "masks" / f"{name}.png")
    return folder


def write_mask(folder: Path, name: str, mask: np.ndarray) -> None:
    Image.fromarray(mask).save(folder / "masks" / f"{name}.png")


def inspect(folder: Path, **options) -> Inspection:
    return inspect_data_set(read_data_set(folder), progress=False, **options)


def protocol(**parts: str) -> Protocol:
    listed = {
        name: ProtocolPart(len(letters), ids_checksum(letters), ids=tuple(letters)) for name, letters in parts.items()
    }
    return Protocol("mine", "Mine", "folder", "made", None, None, "Dice", (), listed)


def test_sound_folder(tmp_path):
    inspection = inspect(write_folder(tmp_path, "abcd"))
    shares = [float(case.read_label().mean()) for case in SYNTHETIC[:4]]
    assert [case.id for case in inspection.cases] == list("abcd")
    assert [case.foreground for case in inspection.cases] == pytest.approx(shares)
    assert inspection.readable == list(inspection.data_set.cases)
    summary = inspection.summary()
    assert summary | {"title": "", "foreground_share": {}} == {
        "kind": "folder",
        "title": "",
        "cases": 4,
        "cases_read": 4,
        "parts": {},
        "image_sizes": {"96x128": 4},
        "smallest_image": "96x128",
        "largest_image": "96x128",
        "label_of_another_size": [],
        "image_formats": {"PNG RGB": 4},
        "label_formats": {"PNG L": 4},
        "foreground": "lesion",
        "foreground_share": {},
        "empty": [],
        "full": [],
        "objects": None,
        "near_duplicates": [],
        "near_duplicates_across_parts": [],
        "protocols": {},
        "misfits": {},
        "overlap": None,
        "errors": [],
    }
    share = summary["foreground_share"]
    assert share["mean"] == pytest.approx(np.mean(shares))
    assert share["median"] == pytest.approx(np.median(shares))
    assert (share["percentile_5"], share["percentile_95"]) == pytest.approx(tuple(np.percentile(shares, [5, 95])))
    assert (share["smallest"], share["smallest_id"]) == (pytest.approx(min(shares)), "abcd"[int(np.argmin(shares))])
    assert (share["largest"], share["largest_id"]) == (pytest.approx(max(shares)), "abcd"[int(np.argmax(shares))])


def test_sizes_formats_and_masks_of_another_size(tmp_path):
    folder = write_folder(tmp_path, "abcde")
    (folder / "images" / "a.png").unlink()
    Image.fromarray(SYNTHETIC[0].read_image()).resize((64, 48)).save(folder / "images" / "a.jpg")
    (folder / "images" / "b.png").unlink()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SYNTHETIC[1].read_image()).save(folder / "images" / "b.jpg", exif=exif)
    summary = inspect(folder).summary()
    assert summary["image_sizes"] == {"96x128": 3, "48x64": 1, "128x96": 1}
    assert (summary["smallest_image"], summary["largest_image"]) == ("48x64", "128x96")
    assert summary["label_of_another_size"] == ["a", "b"]
    assert summary["image_formats"] == {"PNG RGB": 3, "JPEG RGB": 1, "JPEG RGB, turned by EXIF": 1}


def test_nifti(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    folder = write_folder(tmp_path, "a")
    (folder / "masks" / "a.png").unlink()
    nibabel.save(nibabel.Nifti1Image(np.ones((128, 96, 1), np.uint8), np.eye(4)), folder / "masks" / "a.nii.gz")
    summary = inspect(folder).summary()
    assert (summary["label_formats"], summary["full"]) == ({"nii.gz": 1}, ["a"])


def test_empty_and_full_masks(tmp_path):
    folder = write_folder(tmp_path, "abcd")
    write_mask(folder, "b", np.zeros((96, 128), np.uint8))
    write_mask(folder, "d", np.full((96, 128), 255, np.uint8))
    summary = inspect(folder).summary()
    assert (summary["empty"], summary["full"]) == (["b"], ["d"])
    assert (summary["foreground_share"]["smallest_id"], summary["foreground_share"]["largest_id"]) == ("b", "d")


def test_every_file_that_cannot_be_read_is_named(tmp_path):
    folder = write_folder(tmp_path, "abcdef")
    (folder / "images" / "a.png").write_bytes(b"no picture")
    content = (folder / "images" / "c.png").read_bytes()
    (folder / "images" / "c.png").write_bytes(content[: len(content) // 2])
    for name in "cd":
        (folder / "masks" / f"{name}.png").write_bytes(b"")
    inspection = inspect(folder)
    assert [case.id for case in inspection.cases] == ["b", "e", "f"]
    bad = ("images/a.png", "images/c.png", "masks/c.png", "masks/d.png")
    assert [error.split()[0] for error in inspection.errors] == [str(folder / name) for name in bad]
    summary = inspection.summary()
    assert (summary["cases"], summary["cases_read"], summary["errors"]) == (6, 3, list(inspection.errors))


def test_nothing_can_be_read(tmp_path):
    folder = write_folder(tmp_path, "a")
    (folder / "masks" / "a.png").write_bytes(b"")
    (folder / "images" / "a.png").write_bytes(b"")
    inspection = inspect(folder)
    summary = inspection.summary()
    assert (len(inspection.errors), summary["foreground_share"], summary["largest_image"]) == (2, None, None)
    report = inspection_report(inspection)
    assert "1 of them cannot be read" in report
    assert [line for line in report.splitlines() if line.endswith("none")] == []


def test_near_duplicates_and_the_protocol_they_cross(tmp_path):
    folder = write_folder(tmp_path, "abcdef")
    (folder / "images" / "f.png").unlink()
    Image.fromarray(SYNTHETIC[1].read_image()).save(folder / "images" / "f.jpg", quality=50)
    apart = inspect(folder, protocol=protocol(train="abc", val="d", test="ef"))
    assert [group.ids for group in apart.near_duplicates] == [("b", "f")]
    (crossing,) = apart.summary()["protocols"]["mine"]["near_duplicates_across_parts"]
    assert (crossing["ids"], crossing["parts"]) == (["b", "f"], ["train", "test"])
    assert "b (train), f (test)" in inspection_report(apart)
    together = inspect(folder, protocol=protocol(train="abf", val="d", test="ec"))
    assert together.summary()["protocols"]["mine"] == {
        "cases": {"train": 3, "val": 1, "test": 2},
        "near_duplicates_across_parts": [],
    }
    assert "b, f" in inspection_report(together)
    folds = inspect(folder, protocol=protocol(fold0="abc", fold1="def"))
    assert isinstance(folds.protocols["mine"], Folds)
    assert folds.summary()["protocols"]["mine"]["near_duplicates_across_parts"][0]["parts"] == ["fold0", "fold1"]
    assert inspect(folder, similarity=1).near_duplicates == ()


def test_groups_that_a_protocol_divides_come_first_in_the_report(tmp_path):
    folder = write_folder(tmp_path, "abcdef")
    for name, copied, suffix in (("e", 0, "png"), ("f", 1, "jpg")):
        (folder / "images" / f"{name}.png").unlink()
        Image.fromarray(SYNTHETIC[copied].read_image()).save(folder / "images" / f"{name}.{suffix}", quality=30)
    inspection = inspect(folder, protocol=protocol(train="aeb", val="c", test="df"))
    assert [group.ids for group in inspection.near_duplicates] == [("a", "e"), ("b", "f")]
    lines = inspection_report(inspection).splitlines()[-2:]
    assert [line.split(maxsplit=1)[1] for line in lines] == ["b (train), f (test)", "a, e"]


def test_protocols_of_the_data_set_that_do_not_fit(tmp_path):
    cases = read_data_set(write_folder(tmp_path, "ab")).cases
    inspection = inspect_data_set(DataSet("ph2", "PH2", cases), progress=False)
    misfits = inspection.summary()["misfits"]
    assert (inspection.protocols, list(misfits)) == ({}, ["ph2-5fold", "ph2-external"])
    assert misfits["ph2-external"].startswith("PH2 lacks 200 cases of ph2-external")
    report = " ".join(inspection_report(inspection).split())
    assert f"protocol ph2-external does not fit: {misfits['ph2-external']}" in report
    assert "none of those" not in report
    assert "none of those" in inspection_report(inspect_data_set(DataSet("folder", "a", cases), progress=False))


def test_near_duplicates_between_official_parts_and_on_the_sheet(tmp_path):
    folder = write_folder(tmp_path, "abcd")
    for name in "cd":
        Image.fromarray(SYNTHETIC[0].read_image()).save(folder / "images" / f"{name}.png")
    (folder / "masks" / "c.png").write_bytes(b"")
    cases = read_data_set(folder).cases
    parted = DataSet("folder", "parted", cases, {"Training": ("a", "b"), "Test": ("c", "d")})
    inspection = inspect_data_set(parted, progress=False)
    (crossing,) = inspection.summary()["near_duplicates_across_parts"]
    assert (crossing["ids"], crossing["parts"]) == (["a", "c", "d"], ["Training", "Test", "Test"])
    shown, captions = inspection.duplicate_cases(9)
    assert ([case.id for case in shown], captions) == (["a", "d"], ["1: a", "1: d"])
    assert inspection.duplicate_cases(1)[1] == ["1: a"]


def test_bad_arguments_end_it_before_files_are_read(tmp_path, capsys):
    folder = write_folder(tmp_path, "abc")
    with pytest.raises(LightsegError, match="lacks 1 cases of mine: x"):
        inspect_data_set(read_data_set(folder), protocol=protocol(train="a", val="b", test="cx"))
    with pytest.raises(ValueError, match=r"from 0\.5 to 1"):
        inspect_data_set(read_data_set(folder), similarity=0.2)
    assert capsys.readouterr().err == ""


def test_objects_are_counted(tmp_path):
    labels = np.zeros((96, 128), np.uint8)
    labels[5:20, 5:20], labels[5:20, 20:40], labels[60:70, 60:70] = 1, 4, 9
    cases = []
    for name, label in (("train_1", labels), ("train_2", np.zeros_like(labels))):
        Image.fromarray(SYNTHETIC[len(cases)].read_image()).save(tmp_path / f"{name}.bmp")
        Image.fromarray(label).save(tmp_path / f"{name}_anno.bmp")
        cases.append(name)
    summary = inspect(tmp_path).summary()
    assert (summary["kind"], summary["parts"], summary["empty"]) == ("glas", {"train": 2}, ["train_2"])
    assert {key: summary["objects"][key] for key in ("mean", "smallest", "largest", "largest_id")} == {
        "mean": 1.5,
        "smallest": 0,
        "largest": 3,
        "largest_id": "train_1",
    }


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_and_progress(tmp_path, capsys, workers):
    folder = write_folder(tmp_path, "abcd")
    assert inspect(folder, workers=workers) == inspect(folder)
    assert capsys.readouterr() == ("", "")
    inspect_data_set(read_data_set(folder), workers=workers)
    assert "4/4" in capsys.readouterr().err


def test_long_lists_are_cut_in_the_report(tmp_path):
    data_set = DataSet("folder", "many", tuple(FileCase(str(n), tmp_path / "x", tmp_path / "x") for n in range(9)))
    inspection = inspect_data_set(data_set, progress=False)
    assert len(inspection.errors) == 2 * 9
    assert len(inspection_report(inspection).splitlines()) < 9


@pytest.mark.real
@pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")
def test_real_isic2018():
    inspection = inspect(Path(os.environ["LIGHTSEG_DATA"]) / "isic2018")
    summary = inspection.summary()
    assert (summary["cases_read"], summary["errors"], summary["empty"]) == (2594, [], [])
    # The figures of docs/inspect.md.
    assert (len(inspection.near_duplicates), sum(group.turned for group in inspection.near_duplicates)) == (24, 1)
    assert max(len(group.ids) for group in inspection.near_duplicates) == 2
    crossing = {name: len(split["near_duplicates_across_parts"]) for name, split in summary["protocols"].items()}
    assert crossing == {"isic2018-70-30": 11, "isic2018-random42": 9, "isic2018-sorted": 17}
    images = {case.id: image_signature(case.read_image()) for case in inspection.data_set.cases}
    counts = {similarity: len(find_near_duplicates(images, similarity=similarity)) for similarity in (0.95, 0.88, 0.85)}
    assert counts == {0.95: 14, 0.88: 30, 0.85: 35}
    check_notes(summary, "192x256")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")
def test_real_isic2017():
    summary = inspect(Path(os.environ["LIGHTSEG_DATA"]) / "isic2017").summary()
    assert (summary["cases_read"], summary["errors"], len(summary["near_duplicates"])) == (2000, [], 8)
    assert set(summary["protocols"]) == {"isic2017-random42", "isic2017-sorted"}
    check_notes(summary, "256x256")


def check_notes(summary: dict, size: str) -> None:
    """The protocols' notes give the near-duplicates of this inspection and the size of its images."""
    assert list(summary["image_sizes"]) == [size]
    for name, split in summary["protocols"].items():
        groups, across = len(summary["near_duplicates"]), len(split["near_duplicates_across_parts"])
        found = f"Of {groups} groups of near-duplicate images that `lightseg data inspect` finds in copies of"
        said = f"{found} {size.replace('x', ' x ')} pixels, {across} lie in two parts."
        assert any(note.endswith(said) for note in load_protocol(name).notes)
