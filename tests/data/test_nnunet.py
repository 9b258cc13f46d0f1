import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg import __version__
from monai_lightseg.data import (
    Case,
    FileCase,
    Folds,
    Split,
    check_splits,
    ids_checksum,
    install_splits,
    random_split,
    synthetic_cases,
    write_nnunet_raw,
)
from monai_lightseg.errors import LightsegError

CASES = synthetic_cases(6, size=(32, 40))
SPLIT = random_split(case.id for case in CASES)
KEPT = [*SPLIT.train, *SPLIT.val]


@pytest.fixture(autouse=True)
def no_nnunet_environment(monkeypatch):
    monkeypatch.delenv("nnUNet_preprocessed", raising=False)


def written(raw: Path, cases: list[Case] = CASES, split: Split = SPLIT, **changes) -> Path:
    return write_nnunet_raw(
        cases, split, **{"dataset_id": 18, "name": "Drawn", "raw": raw, "progress": False} | changes
    ).folder


def refused(raw: Path, **changes) -> str:
    with pytest.raises(LightsegError) as caught:
        written(raw, **changes)
    return str(caught.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_layout(tmp_path):
    folder = written(tmp_path)
    assert folder == tmp_path / "Dataset018_Drawn"
    assert names(tmp_path) == ["Dataset018_Drawn"]
    assert names(folder) == [
        *("dataset.json", "imagesTr", "imagesTs", "labelsTr", "labelsTs"),
        *("lightseg_conversion.json", "splits_final.json"),
    ]
    assert names(folder / "imagesTr") == sorted(f"{case}_0000.png" for case in KEPT)
    assert names(folder / "labelsTr") == sorted(f"{case}.png" for case in KEPT)
    assert names(folder / "imagesTs") == sorted(f"{case}_0000.png" for case in SPLIT.test)
    assert names(folder / "labelsTs") == sorted(f"{case}.png" for case in SPLIT.test)
    assert json.loads((folder / "dataset.json").read_text()) == {
        "name": "Drawn",
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": len(KEPT),
        "file_ending": ".png",
    }
    splits = json.loads((folder / "splits_final.json").read_text())
    assert splits == [{"train": list(SPLIT.train), "val": list(SPLIT.val)}]


def test_pixels_are_kept(tmp_path):
    folder = written(tmp_path)
    for case in CASES:
        image, mask = case.read_pair()
        part = "Ts" if case.id in SPLIT.test else "Tr"
        with Image.open(folder / f"images{part}/{case.id}_0000.png") as stored:
            assert stored.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(stored), image)
        with Image.open(folder / f"labels{part}/{case.id}.png") as stored:
            assert stored.mode == "L"
            np.testing.assert_array_equal(np.asarray(stored), mask)


def test_resize(tmp_path):
    folder = written(tmp_path, size=(48, 24))
    image, mask = next(case for case in CASES if case.id == KEPT[0]).read_pair()
    bilinear = Image.fromarray(image).resize((24, 48), Image.Resampling.BILINEAR)
    nearest = Image.fromarray(mask).resize((24, 48), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / f"imagesTr/{KEPT[0]}_0000.png")), bilinear)
    np.testing.assert_array_equal(np.asarray(Image.open(folder / f"labelsTr/{KEPT[0]}.png")), nearest)


def test_cases_outside_the_split_and_no_test_part(tmp_path):
    folder = written(tmp_path, split=Split((CASES[0].id,), (CASES[1].id,), ()), foreground="mole")
    assert names(folder) == [*("dataset.json", "imagesTr", "labelsTr", "lightseg_conversion.json", "splits_final.json")]
    assert len(names(folder / "imagesTr")) == 2
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {"background": 0, "mole": 1}


def test_what_was_done_is_written_down(tmp_path):
    folder = written(tmp_path, size=(48, 24), protocol="drawn", border=0)
    ids = {"train": SPLIT.train, "val": SPLIT.val, "test": SPLIT.test}
    assert json.loads((folder / "lightseg_conversion.json").read_text()) == {
        "version": __version__,
        "protocol": "drawn",
        "counts": {part: len(names) for part, names in ids.items()},
        "sha256": {part: ids_checksum(names) for part, names in ids.items()},
        "reduced": False,
        "size": [48, 24],
        "interpolation": {"image": "bilinear", "mask": "nearest"},
        "border": 0,
        "mismatched": 0,
    }


def test_cross_validation(tmp_path):
    ids = [case.id for case in CASES]
    folds = Folds((tuple(ids[:2]), tuple(ids[2:4]), (ids[4],)))
    folder = written(tmp_path, split=folds, preprocessed=tmp_path / "preprocessed")
    assert names(folder) == [*("dataset.json", "imagesTr", "labelsTr", "lightseg_conversion.json", "splits_final.json")]
    splits = json.loads((folder / "splits_final.json").read_text())
    assert [fold["val"] for fold in splits] == [ids[:2], ids[2:4], [ids[4]]]
    assert splits[1]["train"] == [*ids[:2], ids[4]]
    check_splits(folder, tmp_path / "preprocessed/Dataset018_Drawn")
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 5
    done = json.loads((folder / "lightseg_conversion.json").read_text())
    assert done["counts"] == {"fold0": 2, "fold1": 2, "fold2": 1}
    assert done["sha256"]["fold2"] == ids_checksum(ids[4:5])


def test_cases_that_only_test(tmp_path):
    split = Split((), (), tuple(case.id for case in CASES))
    folder = written(tmp_path / "raw", split=split, preprocessed=tmp_path / "preprocessed")
    assert names(folder) == ["dataset.json", "imagesTs", "labelsTs", "lightseg_conversion.json"]
    assert len(names(folder / "imagesTs")) == len(CASES)
    assert json.loads((folder / "dataset.json").read_text())["numTraining"] == 0
    assert names(tmp_path) == ["raw"]


def cases_of_two_sizes(folder: Path) -> list[FileCase]:
    """The second and the third have masks of another size, the third one as high as its image."""
    cases = []
    for number, shape in enumerate([(32, 40), (64, 80), (32, 41)]):
        paths = folder / f"{number}.png", folder / f"{number}_mask.png"
        Image.fromarray(CASES[number].read_image()).save(paths[0])
        Image.fromarray(np.triu(np.full(shape, 255, np.uint8))).save(paths[1])
        cases.append(FileCase(str(number), *paths))
    return cases


def test_pairs_of_different_size_are_resized_each_on_its_own(tmp_path):
    cases = cases_of_two_sizes(tmp_path)
    split = Split(("0",), ("1",), ("2",))
    conversion = write_nnunet_raw(
        cases, split, dataset_id=1, name="X", raw=tmp_path / "raw", size=(20, 24), progress=False
    )
    assert conversion.mismatched == ("1", "2")
    for case, part in zip(cases, ("Tr", "Tr", "Ts"), strict=True):
        image = Image.open(case.image_path).resize((24, 20), Image.Resampling.BILINEAR)
        mask = np.asarray(Image.open(case.mask_path).resize((24, 20), Image.Resampling.NEAREST)) // 255
        np.testing.assert_array_equal(Image.open(conversion.folder / f"images{part}/{case.id}_0000.png"), image)
        np.testing.assert_array_equal(Image.open(conversion.folder / f"labels{part}/{case.id}.png"), mask)
    assert json.loads((conversion.folder / "lightseg_conversion.json").read_text())["mismatched"] == 2


def test_pairs_of_different_size_are_refused_without_one(tmp_path):
    cases = cases_of_two_sizes(tmp_path)
    lines = refused(tmp_path / "raw", cases=cases, split=Split(("0",), ("1",), ("2",))).splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [str(case.image_path) for case in cases[1:]]
    assert lines[-1].startswith("2 pairs differ in size: give --size HEIGHTxWIDTH")
    assert names(tmp_path / "raw") == []


def test_split_goes_where_nnunet_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_preprocessed", str(tmp_path / "environment"))
    raw = written(tmp_path / "raw", preprocessed=tmp_path / "argument")
    assert names(tmp_path) == ["argument", "raw"]
    check_splits(raw, tmp_path / "argument/Dataset018_Drawn")
    raw = written(tmp_path / "raw", name="Drawn", overwrite=True)
    check_splits(raw, tmp_path / "environment/Dataset018_Drawn")


@pytest.mark.parametrize("value", [None, ""])
def test_no_second_split_without_a_preprocessed_folder(tmp_path, monkeypatch, value):
    if value is not None:
        monkeypatch.setenv("nnUNet_preprocessed", value)
    monkeypatch.chdir(tmp_path)
    written(tmp_path)
    assert names(tmp_path) == ["Dataset018_Drawn"]


def test_existing_dataset_is_kept_unless_overwritten(tmp_path):
    folder = written(tmp_path)
    (folder / "imagesTr" / "old.png").touch()
    assert refused(tmp_path).startswith(f"{folder} is already there; give another name, or --overwrite ")
    assert (folder / "imagesTr" / "old.png").exists()
    written(tmp_path, overwrite=True, border=0)
    assert not (folder / "imagesTr" / "old.png").exists()
    written(tmp_path, overwrite=True)
    assert not (folder / "instancesTr").exists()


def test_a_dataset_that_holds_more_is_never_replaced(tmp_path):
    folder = written(tmp_path)
    (folder / "mine.txt").touch()
    for overwrite in (False, True):
        assert "holds more than a conversion writes (mine.txt)" in refused(tmp_path, overwrite=overwrite)
    assert (folder / "mine.txt").exists()


def test_a_dataset_of_somebody_else_is_never_replaced(tmp_path):
    folder = written(tmp_path)
    (folder / "lightseg_conversion.json").unlink()
    assert "holds other files and no lightseg_conversion.json" in refused(tmp_path, overwrite=True)
    assert (folder / "dataset.json").exists()


def test_existing_preprocessed_split_is_kept_unless_overwritten(tmp_path):
    splits = tmp_path / "preprocessed/Dataset018_Drawn/splits_final.json"
    splits.parent.mkdir(parents=True)
    splits.write_text("[]")
    text = refused(tmp_path / "raw", preprocessed=tmp_path / "preprocessed")
    assert str(splits) in text and "--overwrite" in text
    assert splits.read_text() == "[]"
    check_splits(written(tmp_path / "raw", preprocessed=tmp_path / "preprocessed", overwrite=True), splits.parent)


@pytest.mark.parametrize("where", ["raw", "preprocessed"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_number_taken_by_another_name(tmp_path, where, overwrite):
    other = tmp_path / where / "Dataset018_Other"
    other.mkdir(parents=True)
    text = refused(tmp_path / "raw", preprocessed=tmp_path / "preprocessed", overwrite=overwrite)
    assert str(other) in text
    assert not (tmp_path / "raw/Dataset018_Drawn").exists()


def test_other_numbers_do_not_matter(tmp_path):
    (tmp_path / "Dataset017_Other").mkdir()
    (tmp_path / "Dataset018_file").touch()
    assert written(tmp_path).is_dir()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset_id": 0}, "dataset_id is 0"),
        ({"dataset_id": 1000}, "dataset_id is 1000"),
        ({"name": "my-set"}, "'my-set'"),
        ({"name": ""}, "''"),
        ({"name": "../up"}, "'../up'"),
        ({"name": "Drawn\n"}, "nnU-Net name"),
        ({"foreground": "background"}, "'background'"),
        ({"foreground": "ignore"}, "'ignore'"),
        ({"size": (0, 32)}, "size is"),
        ({"split": Split((CASES[0].id,), ("elsewhere",), ())}, "elsewhere"),
    ],
)
def test_bad_arguments(tmp_path, changes, said):
    assert said in refused(tmp_path, **changes)
    assert names(tmp_path) == []


@pytest.mark.parametrize("case_id", ["a b", "a/b", "../a", ".a", "-a", "", "a\n", "é", "a_seg"])
def test_case_ids_refused(tmp_path, case_id):
    cases = [*CASES, FileCase(case_id, tmp_path / "a.png", tmp_path / "m.png")]
    assert repr(case_id) in refused(tmp_path, cases=cases)
    assert names(tmp_path) == []


def test_case_ids_that_differ_in_case_only(tmp_path):
    cases = [FileCase(case_id, tmp_path / "a.png", tmp_path / "m.png") for case_id in ("a", "A")]
    assert "a, A" in refused(tmp_path, cases=cases)


def test_all_bad_files_are_named_and_nothing_is_left(tmp_path):
    bad = [FileCase(f"bad{number:02d}", tmp_path / f"{number:02d}.png", tmp_path / "m.png") for number in range(23)]
    split = Split(tuple(case.id for case in bad), KEPT[:1], KEPT[1:2])
    raw, preprocessed = tmp_path / "raw", tmp_path / "preprocessed"
    lines = refused(raw, cases=[*CASES, *bad], split=split, preprocessed=preprocessed).splitlines()
    assert [line.split()[0] for line in lines[:20]] == [str(case.image_path) for case in bad[:20]]
    assert lines[20:] == ["... and 3 more"]
    assert names(raw) == []
    assert not preprocessed.exists()


def test_failure_keeps_the_old_dataset(tmp_path):
    folder = written(tmp_path / "raw")
    before = (folder / "dataset.json").read_text()
    bad = FileCase("bad", tmp_path / "no.png", tmp_path / "no.png")
    refused(tmp_path / "raw", cases=[*CASES, bad], split=Split(("bad",), (KEPT[0],), ()), overwrite=True)
    assert names(tmp_path / "raw") == ["Dataset018_Drawn"]
    assert (folder / "dataset.json").read_text() == before


def test_unwritable_targets(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(tmp_path / "file" / "raw")
    text = refused(tmp_path / "raw", preprocessed=tmp_path / "file")
    assert "cannot be written" in text
    assert names(tmp_path / "raw") == []
    (tmp_path / "raw" / "Dataset018_Drawn").touch()
    assert "Dataset018_Drawn is a file" in refused(tmp_path / "raw", overwrite=True)


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "Dataset018_Drawn").mkdir()
    (tmp_path / "Dataset018_Drawn" / "thesis.tex").touch()
    assert "holds other files and no lightseg_conversion.json" in refused(tmp_path, overwrite=True)
    assert names(tmp_path / "Dataset018_Drawn") == ["thesis.tex"]


def test_a_folder_that_holds_the_cases_is_never_replaced(tmp_path):
    folder = tmp_path / "Dataset018_Drawn"
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "lightseg_conversion.json").touch()
    cases = cases_of_two_sizes(folder / "imagesTr")
    text = refused(tmp_path, cases=cases, split=Split(("0",), ("1",), ("2",)), size=(8, 8), overwrite=True)
    assert "holds the cases themselves" in text
    assert len(names(folder / "imagesTr")) == 6


def test_progress_goes_to_stderr(tmp_path, capsys):
    written(tmp_path, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "writing cases" in shown.err
    written(tmp_path, overwrite=True)
    assert capsys.readouterr().err == ""


def test_splits_missing_different_and_installed(tmp_path):
    raw, preprocessed = written(tmp_path / "raw"), tmp_path / "preprocessed/Dataset018_Drawn"
    with pytest.raises(LightsegError, match="is missing") as caught:
        check_splits(raw, preprocessed)
    assert str(raw) in str(caught.value) and str(preprocessed) in str(caught.value)
    install_splits(raw, preprocessed)
    check_splits(raw, preprocessed)
    assert names(preprocessed) == ["splits_final.json"]
    (preprocessed / "splits_final.json").write_text('[{"train": ["a"], "val": ["b"]}]')
    with pytest.raises(LightsegError, match="differs") as caught:
        check_splits(raw, preprocessed)
    assert str(raw) in str(caught.value) and str(preprocessed) in str(caught.value)
    install_splits(raw, preprocessed)
    check_splits(raw, preprocessed)


def test_no_raw_split_is_nothing_to_check(tmp_path):
    check_splits(tmp_path / "raw", tmp_path / "preprocessed")
    with pytest.raises(LightsegError, match=r"splits_final\.json cannot be read"):
        install_splits(tmp_path / "raw", tmp_path / "preprocessed")
    assert names(tmp_path) == []


def test_damaged_split_file(tmp_path):
    raw, preprocessed = written(tmp_path / "raw"), tmp_path / "preprocessed"
    install_splits(raw, preprocessed)
    (preprocessed / "splits_final.json").write_text("[{")
    with pytest.raises(LightsegError, match="cannot be read as JSON"):
        check_splits(raw, preprocessed)


def test_install_into_an_unwritable_folder(tmp_path):
    raw = written(tmp_path / "raw")
    (tmp_path / "file").touch()
    with pytest.raises(LightsegError, match="cannot be written"):
        install_splits(raw, tmp_path / "file")
