import json
import os
from pathlib import Path

import numpy as np
import pytest
from monai.data import CacheDataset, PILReader, load_decathlon_datalist
from monai.transforms import LoadImaged
from PIL import Image

from monai_lightseg.data import (
    FileCase,
    Folds,
    Split,
    load_protocol,
    random_split,
    read_data_set,
    read_glas,
    synthetic_cases,
    write_datalist,
)
from monai_lightseg.errors import LightsegError

from .fake_glas import labels_of, write_glas

CASES = synthetic_cases(7, size=(32, 40))
IDS = [case.id for case in CASES]
SPLIT = random_split(IDS)


def written(folder: Path, cases=CASES, split=SPLIT, **changes) -> Path:
    return write_datalist(cases, split, name="Drawn", folder=folder, **{"progress": False} | changes).folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def entry(case_id: str) -> dict[str, str]:
    return {"image": f"images/{case_id}.png", "label": f"labels/{case_id}.png"}


def test_layout(tmp_path):
    folder = written(tmp_path / "made", foreground="mole", split=Split(*(part[:1] for part in SPLIT.folds[0]), ()))
    assert names(folder) == ["datalist.json", "images", "labels", "lightseg_conversion.json"]
    assert (
        names(folder / "images") == names(folder / "labels") == sorted([f"{SPLIT.train[0]}.png", f"{SPLIT.val[0]}.png"])
    )
    assert json.loads((folder / "datalist.json").read_text()) == {
        "name": "Drawn",
        "description": "Drawn, written by monai-lightseg",
        "modality": {"0": "R", "1": "G", "2": "B"},
        "labels": {"0": "background", "1": "mole"},
        "numTraining": 1,
        "numTest": 0,
        "training": [entry(SPLIT.train[0])],
        "validation": [entry(SPLIT.val[0])],
    }


@pytest.mark.parametrize(("part", "key"), [("train", "training"), ("val", "validation"), ("test", "test")])
def test_monai_reads_it(tmp_path, part, key):
    folder = written(tmp_path / "made")
    found = load_decathlon_datalist(str(folder / "datalist.json"), True, key)
    ids = getattr(SPLIT, part)
    assert found == [
        {"image": str(folder / f"images/{case_id}.png"), "label": str(folder / f"labels/{case_id}.png")}
        for case_id in ids
    ]
    # MONAI turns the axes of pictures around unless it is told not to.
    load = LoadImaged(["image", "label"], reader=PILReader(reverse_indexing=False), ensure_channel_first=True)
    read = {case.id: case.read_pair() for case in CASES}
    for case_id, item in zip(ids, CacheDataset(found, load, progress=False), strict=True):
        image, mask = read[case_id]
        assert item["image"].shape == (3, 32, 40) and item["label"].shape == (1, 32, 40)
        np.testing.assert_array_equal(item["image"].numpy(), image.transpose(2, 0, 1))
        np.testing.assert_array_equal(item["label"].numpy()[0], mask)


def test_cross_validation_has_one_list_with_folds(tmp_path):
    folder = written(tmp_path / "made", split=Folds((tuple(IDS[:2]), tuple(IDS[2:4]), tuple(IDS[4:6]))))
    content = json.loads((folder / "datalist.json").read_text())
    assert content["training"] == [entry(case_id) | {"fold": place // 2} for place, case_id in enumerate(IDS[:6])]
    assert (content["numTraining"], content["numTest"]) == (6, 0)
    assert "validation" not in content and "test" not in content
    found = load_decathlon_datalist(str(folder / "datalist.json"), True, "training")
    assert [item["fold"] for item in found] == [0, 0, 1, 1, 2, 2]


def test_cross_validation_as_auto3dseg_divides_it(tmp_path):
    from monai.auto3dseg.utils import datafold_read

    folder = written(tmp_path / "made", split=Folds((tuple(IDS[:2]), tuple(IDS[2:7]))))
    train, val = datafold_read(str(folder / "datalist.json"), str(folder), fold=0)
    assert [Path(item["image"]).stem for item in val] == IDS[:2]
    assert [Path(item["label"]).stem for item in train] == IDS[2:7]


def test_cases_that_only_test(tmp_path):
    folder = written(tmp_path / "made", split=Split((), (), tuple(IDS)))
    assert len(load_decathlon_datalist(str(folder / "datalist.json"), True, "test")) == 7
    assert "training" not in json.loads((folder / "datalist.json").read_text())


def test_size_and_pairs_that_differ(tmp_path):
    mask = np.zeros((64, 60), np.uint8)
    mask[10:30, 20:50] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(CASES[0].read_image()).save(tmp_path / "image.png")
    cases = [*CASES[1:], FileCase("odd", tmp_path / "image.png", tmp_path / "mask.png")]
    split = Split((IDS[1],), ("odd",), (IDS[2],))
    conversion = write_datalist(cases, split, name="X", folder=tmp_path / "made", size=(16, 20), progress=False)
    assert conversion.mismatched == ("odd",)
    with Image.open(conversion.folder / "labels/odd.png") as label:
        assert label.mode == "L"
        wanted = Image.fromarray(mask).resize((20, 16), Image.Resampling.NEAREST)
        np.testing.assert_array_equal(np.asarray(label), np.asarray(wanted) // 255)
    with Image.open(conversion.folder / f"images/{IDS[1]}.png") as image:
        assert (image.mode, image.size) == ("RGB", (20, 16))


def test_glands_become_one_mask(tmp_path):
    cases = read_glas(write_glas(tmp_path / "glas", ["train_1", "train_2", "testA_1"]))
    folder = written(tmp_path / "made", cases, Split(("train_1",), ("train_2",), ("testA_1",)), foreground="gland")
    with Image.open(folder / "labels/train_1.png") as label:
        np.testing.assert_array_equal(np.asarray(label), labels_of("train_1") > 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"size": (32, 0)}, "size is"),
        ({"split": Split(("elsewhere",), (IDS[0],), ())}, "elsewhere"),
        ({"cases": [*CASES, FileCase("../up", Path("a"), Path("b"))]}, "'../up'"),
        ({"cases": [*CASES, FileCase(IDS[0].upper(), Path("a"), Path("b"))]}, IDS[0]),
    ],
)
def test_bad_arguments(tmp_path, changes, said):
    with pytest.raises(LightsegError, match=said.replace(".", r"\.")):
        written(tmp_path / "made", **changes)
    assert names(tmp_path) == []


def test_a_folder_is_replaced_only_if_it_was_written_so_and_may_be(tmp_path):
    folder = written(tmp_path / "made")
    with pytest.raises(LightsegError, match="is already there"):
        written(folder)
    written(folder, split=Split((), (), tuple(IDS[:1])), overwrite=True)
    assert len(names(folder / "images")) == 1
    with pytest.raises(LightsegError, match=r"holds other files and no lightseg_conversion\.json"):
        written(tmp_path, overwrite=True)
    assert names(tmp_path) == ["made"]


@pytest.mark.parametrize("marker", ["datalist.json", "lightseg_conversion.json"])
def test_a_project_with_such_a_file_is_never_replaced(tmp_path, marker):
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    for name in ("src/model.py", "weights.pt", marker):
        (project / name).touch()
    with pytest.raises(LightsegError, match="so it is not replaced"):
        written(project, overwrite=True)
    assert (project / "src/model.py").exists() and (project / "weights.pt").exists()


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "made").mkdir()
    assert len(names(written(tmp_path / "made"))) == 4
    assert names(tmp_path) == ["made"]


@pytest.mark.skipif(os.name != "posix", reason="links are POSIX")
@pytest.mark.parametrize("there", [False, True])
def test_a_link_is_kept_and_what_it_leads_to_is_made(tmp_path, there):
    disk, link = tmp_path / "disk" / "made", tmp_path / "link"
    link.symlink_to(disk)
    if there:
        written(disk, foreground="old")
    assert written(link, overwrite=there) == link
    assert link.is_symlink() and names(tmp_path) == ["disk", "link"] and names(tmp_path / "disk") == ["made"]
    assert json.loads((disk / "datalist.json").read_text())["labels"]["1"] == "lesion"


@pytest.mark.skipif(os.name != "posix", reason="mounts are POSIX")
def test_a_mount_point_is_refused_before_the_work():
    with pytest.raises(LightsegError, match="is a mount point"):
        written(Path("/"))


def test_what_was_done_is_written_down(tmp_path):
    done = json.loads((written(tmp_path / "made") / "lightseg_conversion.json").read_text())
    assert (done["border"], done["reduced"]) == (None, False)


@pytest.mark.real
@pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images")
def test_real_isic2017_at_256(tmp_path):
    """Its images are 256 x 256, its masks are as they were published."""
    data_set = read_data_set(Path(os.environ["LIGHTSEG_DATA"]) / "isic2017")
    split = load_protocol("isic2017-random42").select(data_set)
    few = Split(split.train[:2], split.val[:2], split.test[:2])
    conversion = write_datalist(
        data_set.cases, few, name="X", folder=tmp_path / "made", size=(256, 256), progress=False
    )
    assert set(conversion.mismatched) == set(few.ids)
    load = LoadImaged(["image", "label"], reader=PILReader(reverse_indexing=False), ensure_channel_first=True)
    for key in ("training", "validation", "test"):
        for item in load_decathlon_datalist(str(tmp_path / "made/datalist.json"), True, key):
            loaded = load(item)
            assert loaded["image"].shape == (3, 256, 256) and loaded["label"].shape == (1, 256, 256)
            assert 0 < loaded["label"].mean() < 1
