import hashlib
import json
import os
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import (
    DataSet,
    FileCase,
    Folds,
    Split,
    check_test_ids,
    find_near_duplicates,
    glas_split,
    ids_checksum,
    image_signature,
    list_protocols,
    load_protocol,
    overlap_warning,
    random_split,
    read_data_set,
    read_glas,
    read_id_list,
    read_mask,
    read_rgb,
)
from monai_lightseg.errors import LightsegError

from .fake_glas import ALL, VALIDATION, write_glas

COUNTS = {
    "glas-official": {"train": 75, "val": 10, "test": 80},
    "isic2017-official": {"train": 2000, "val": 150, "test": 600},
    "isic2017-random42": {"train": 1250, "val": 150, "test": 600},
    "isic2017-sorted": {"train": 1250, "val": 150, "test": 600},
    "isic2018-70-30": {"train": 1556, "val": 259, "test": 779},
    "isic2018-official": {"train": 2594, "val": 100, "test": 1000},
    "isic2018-random42": {"train": 1815, "val": 259, "test": 520},
    "isic2018-sorted": {"train": 1815, "val": 259, "test": 520},
    "ph2-5fold": {f"fold{number}": 40 for number in range(5)},
    "ph2-external": {"test": 200},
}
# Of all the ids that the protocols of one data set divide.
CHECKSUMS = {
    "isic2018-random42": "b6a11fa50b1cf0363160258b5cac96ccae382ea524e34434c3212d1fbb1e4775",
    "isic2017-random42": "08db813d9845271635715430a30a3661b7dd6299f23161b41d9932b047f43c80",
    "isic2017-official": "13fa141d13ca95e25d6230756c5f997dc74e76baef8119472209365592f14c4b",
    "ph2-external": "86e2d5d765ad19575e0df9a121a75e33bea4b0dca12292438e6ce9e9ee8bdb8e",
}
LISTED = [name for name in COUNTS if name != "isic2018-official"]
PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"

real = [
    pytest.mark.real,
    pytest.mark.skipif("LIGHTSEG_DATA" not in os.environ, reason="LIGHTSEG_DATA names no folder with the images"),
]


def all_ids(name):
    protocol = load_protocol(name)
    return sorted(case_id for part in protocol.parts for case_id in protocol.ids(part))


def data_set(kind, ids, parts=None):
    cases = tuple(FileCase(case_id, Path(f"{case_id}.jpg"), Path(f"{case_id}.png")) for case_id in ids)
    return DataSet(kind, f"the {kind} here", cases, parts or {})


def official_2018(val=100, test=1000):
    parts = {
        "Training": tuple(all_ids("isic2018-random42")),
        "Validation": tuple(f"v{number}" for number in range(val)),
        "Test": tuple(f"t{number}" for number in range(test)),
    }
    return data_set("isic2018", sum(parts.values(), ()), parts)


def shuffled(ids):
    return [sorted(ids)[place] for place in np.random.default_rng(42).permutation(len(ids))]


def own(**changes):
    """What a file of one's own holds; a change to "take out" drops the key."""
    parts = {name: {"count": 1, "sha256": ids_checksum(name[0]), "ids": [name[0]]} for name in ("train", "val", "test")}
    parts["test"]["ids"][0] = "x"
    parts["test"]["sha256"] = ids_checksum("x")
    content = {
        "name": "own",
        "title": "My images",
        "data_set": "folder",
        "source": "Drawn by hand.",
        "image_size": [192, 256],
        "interpolation": {"image": "bilinear", "mask": "nearest"},
        "metric": "Dice of each image, then the mean.",
        "notes": [],
        "parts": parts,
    }
    return {key: value for key, value in (content | changes).items() if value != "take out"}


def write(tmp_path, content):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    return path


def test_shipped():
    assert list_protocols() == list(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_and_checksums(name):
    protocol = load_protocol(name)
    assert protocol.name == name
    assert {part: of_part.count for part, of_part in protocol.parts.items()} == COUNTS[name]
    lists = {part: of_part.ids for part, of_part in protocol.parts.items() if of_part.ids is not None}
    for part, ids in lists.items():
        assert list(ids) == sorted(set(ids))
        assert len(ids) == COUNTS[name][part]
        assert protocol.checksums()[part] == hashlib.sha256(("\n".join(ids) + "\n").encode()).hexdigest()
    for one, other in combinations(lists.values(), 2):
        assert not set(one) & set(other)
    assert (lists == {}) == (name not in LISTED)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_ids_stay_the_same_from_release_to_release(name):
    assert ids_checksum(all_ids(name)) == CHECKSUMS[name]


def test_protocols_of_one_data_set_divide_the_same_cases():
    assert all_ids("isic2018-random42") == all_ids("isic2018-sorted") == all_ids("isic2018-70-30")
    assert all_ids("isic2017-random42") == all_ids("isic2017-sorted")
    assert tuple(all_ids("isic2017-random42")) == load_protocol("isic2017-official").ids("train")
    assert all_ids("ph2-5fold") == all_ids("ph2-external")
    assert load_protocol("isic2018-official").checksums() == {"train": CHECKSUMS["isic2018-random42"]}


@pytest.mark.parametrize("name", ["isic2018-random42", "isic2017-random42", "isic2018-70-30"])
def test_random_parts_are_drawn_as_they_say(name):
    protocol, ids = load_protocol(name), all_ids(name)
    train, val, test = (part.count for part in protocol.parts.values())
    order = shuffled(ids)
    assert set(protocol.ids("train")) == set(order[:train])
    assert set(protocol.ids("val")) == set(order[train : train + val])
    assert protocol.select(data_set(protocol.data_set, ids)) == random_split(ids, val=val, test=test, seed=42)


@pytest.mark.parametrize("name", ["isic2018-sorted", "isic2017-sorted"])
def test_sorted_parts_follow_each_other(name):
    protocol = load_protocol(name)
    assert [*protocol.ids("train"), *protocol.ids("val"), *protocol.ids("test")] == all_ids(name)


def test_70_30_lies_within_random42():
    protocol, random42 = load_protocol("isic2018-70-30"), load_protocol("isic2018-random42")
    assert {*protocol.ids("train"), *protocol.ids("val")} == set(random42.ids("train"))
    assert set(protocol.ids("test")) == {*random42.ids("val"), *random42.ids("test")}


def test_folds_are_drawn_as_they_say():
    protocol, ids = load_protocol("ph2-5fold"), all_ids("ph2-external")
    folds = protocol.select(data_set("ph2", ids))
    assert isinstance(folds, Folds)
    assert [set(part) for part in folds.parts] == [set(part) for part in np.split(np.array(shuffled(ids)), 5)]


def test_glas_is_divided_as_its_reader_divides_it(tmp_path):
    cases = read_glas(write_glas(tmp_path, ALL))
    split = load_protocol("glas-official").select(DataSet("glas", "GlaS", tuple(cases), objects=True))
    assert split.val == tuple(f"train_{number}" for number in VALIDATION)
    of_reader = glas_split(cases)
    assert [set(part) for part in (split.train, split.val, split.test)] == [
        set(part) for part in (of_reader.train, of_reader.val, of_reader.test)
    ]


def test_external_cases_only_test():
    ids = tuple(all_ids("ph2-external"))
    assert load_protocol("ph2-external").select(data_set("ph2", ids)) == Split((), (), ids)


def test_select_leaves_other_cases_out_and_takes_renamed_folders():
    protocol = load_protocol("isic2018-random42")
    split = protocol.select(data_set("folder", ["another", *reversed(all_ids(protocol.name))]))
    assert isinstance(split, Split)
    assert (split.train, split.val, split.test) == tuple(protocol.ids(part) for part in ("train", "val", "test"))


def test_select_by_folder():
    found = official_2018()
    split = load_protocol("isic2018-official").select(found)
    assert split == Split(*(found.parts[part] for part in ("Training", "Validation", "Test")))


def swapped():
    """ISIC 2018 with one training case exchanged for another."""
    found = official_2018()
    training = ("another", *found.parts["Training"][1:])
    return data_set("isic2018", ["another", *(case.id for case in found.cases)], found.parts | {"Training": training})


@pytest.mark.parametrize(
    ("name", "found", "said"),
    [
        ("isic2018-random42", lambda: data_set("isic2017", []), "divides isic2018, and the isic2017 here is isic2017"),
        (
            "ph2-external",
            lambda: data_set("ph2", all_ids("ph2-external")[:-7]),
            r"the ph2 here lacks 7 cases of ph2-external: IMD\d+(, IMD\d+){4}, \.\.\. and 2 more",
        ),
        ("isic2018-official", lambda: official_2018(val=99), "Validation, and in the isic2018 here it has 99 cases in"),
        ("isic2018-official", swapped, "official part Training, and in the isic2018 here its ids have the sha256"),
        ("isic2018-official", lambda: data_set("isic2018", "a", {"Training": ("a",)}), "1 cases in place of 2594"),
        ("isic2018-official", lambda: data_set("folder", "a"), "the folder here has none"),
    ],
)
def test_select_refuses(name, found, said):
    with pytest.raises(LightsegError, match=said):
        load_protocol(name).select(found())


def test_missing_official_part_is_named():
    found = official_2018()
    rest = {part: ids for part, ids in found.parts.items() if part != "Test"}
    with pytest.raises(LightsegError, match=r"official part Test; .* has Training, Validation: unpack"):
        load_protocol("isic2018-official").select(data_set("isic2018", [case.id for case in found.cases], rest))


@pytest.mark.parametrize("name", COUNTS)
def test_content_is_what_the_file_holds(name, tmp_path):
    protocol = load_protocol(name)
    assert load_protocol(write(tmp_path, protocol.content())) == protocol


def test_own_file(tmp_path):
    path = write(tmp_path, own())
    protocol = load_protocol(path)
    assert protocol == load_protocol(str(path))
    assert (protocol.image_size, protocol.notes) == ((192, 256), ())
    assert protocol.select(data_set("folder", "tvxz")) == Split(("t",), ("v",), ("x",))
    with pytest.raises(LightsegError, match="own divides folder, and the ph2 here is ph2"):
        protocol.select(data_set("ph2", "tvx"))


def test_files_that_pretend_to_be_of_the_package(tmp_path):
    shipped = load_protocol("ph2-external").content()
    path = write(tmp_path, shipped | {"metric": "Dice of each image, then the mean."})
    with pytest.raises(LightsegError, match="is called ph2-external and is not that protocol; give it another name"):
        load_protocol(path)
    assert load_protocol(write(tmp_path, shipped | {"name": "ph2-per-image"})).name == "ph2-per-image"


def test_byte_order_mark(tmp_path):
    path = write(tmp_path, own())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_protocol(path).name == "own"


def test_sizes_may_stay(tmp_path):
    assert load_protocol(write(tmp_path, own(image_size=None, interpolation=None))).image_size is None


def parts(**changes):
    return {"parts": own()["parts"] | changes}


ONE = {"count": 1, "sha256": ids_checksum("t"), "ids": ["t"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": "take out"}, "lacks metric; its keys are name, title"),
        ({"colour": 1}, "does not know colour"),
        ({"name": " "}, "name is to be a text"),
        ({"data_set": "isic2016"}, "data_set is to be one of isic2018, "),
        ({"image_size": [256]}, r"image_size is to be \[height, width\] or null"),
        ({"image_size": [256, 0.5]}, "image_size is to be"),
        ({"image_size": None}, "null together"),
        ({"interpolation": {"image": "bicubic", "mask": "nearest"}}, 'interpolation is to be {"image": "bilinear"'),
        ({"notes": "none"}, "notes is to be a list of texts"),
        ({"parts": []}, "parts is to be an object"),
        ({"parts": {}}, "test alone; or fold0"),
        ({"parts": {"train": ONE}}, "test alone; or fold0"),
        ({"parts": {"fold0": ONE}}, "test alone; or fold0"),
        ({"parts": {"fold0": ONE, "fold2": ONE}}, "test alone; or fold0"),
        (parts(test=ONE), "twice: t"),
        ({"parts": {"fold0": ONE, "fold1": ONE}}, "twice: t"),
        (parts(test=[]), "part test: it is to be an object"),
        (parts(test=ONE | {"count": 2}), "part test: it has 1 cases in place of 2"),
        (parts(test=ONE | {"count": 0}), "part test: count is to be"),
        (parts(test=ONE | {"count": True}), "part test: count is to be"),
        (parts(test=ONE | {"ids": ["x"]}), f"part test: its ids have the sha256 {ids_checksum('x')} in place of"),
        (parts(test=ONE | {"ids": [1]}), "part test: ids is to be a list of texts"),
        (parts(test={"count": 1, "ids": ["x"]}), f"without their sha256, which is {ids_checksum('x')}"),
        (parts(test={"count": 1}), "either ids or the folder"),
        (parts(test=ONE | {"folder": "Test"}), "either ids or the folder"),
    ],
)
def test_faults_of_own_files(changes, said, tmp_path):
    path = write(tmp_path, own(**changes))
    with pytest.raises(LightsegError, match=said) as caught:
        load_protocol(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", None])
def test_unreadable_files(content, tmp_path):
    path = tmp_path / "own.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LightsegError, match="cannot be read as JSON") as caught:
        load_protocol(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("isic2018_random42", "did you mean 'isic2018-random42'"),
        ("../isic2018-random42x/..", "no protocol"),
        ("zzz", "there are glas-official, isic2017-official, "),
    ],
)
def test_unknown_names(name, said):
    with pytest.raises(LightsegError, match=said):
        load_protocol(name)


def test_ids_of_a_part():
    with pytest.raises(LightsegError, match="has no part 'fold0'; pass one of train, val, test"):
        load_protocol("isic2018-random42").ids("fold0")
    with pytest.raises(LightsegError, match="lists no ids for val: they are those of the official part Validation"):
        load_protocol("isic2018-official").ids("val")


def test_the_order_of_ids_does_not_change_the_checksum():
    # printf 'a\nb\n' | sha256sum
    assert ids_checksum(["b", "a"]) == "911169ddaaf146aff539f58c26c489af3b892dff0fe283c1c264c65ae5aa59a2"


def test_test_ids():
    random42, folds, official = map(load_protocol, ("isic2018-random42", "ph2-5fold", "isic2018-official"))
    assert check_test_ids(random42, list(random42.ids("test"))) == "test"
    assert check_test_ids(load_protocol("ph2-external"), all_ids("ph2-5fold")) == "test"
    assert check_test_ids(folds, folds.ids("fold3")) == "fold3"
    assert check_test_ids(folds, all_ids("ph2-5fold")) == "all folds"
    assert check_test_ids(official, [str(number) for number in range(1000)]) == "test"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("isic2018-random42", lambda ids: ids[2:], r"cases of test in .*: 2 missing \(ISIC_0000007, ISIC_0000016\);"),
        ("isic2018-random42", lambda ids: [*ids, "x"], r": 1 too many \(x\);"),
        ("isic2018-random42", lambda ids: [*ids[1:], "x"], r": 1 missing \(ISIC_0000007\), 1 too many \(x\);"),
        ("isic2018-random42", lambda ids: [], r"520 missing \(ISIC_0000007, .*, \.\.\. and 515 more\)"),
        ("isic2018-official", lambda ids: ["x"], "not the cases of test in .*: it has 1 cases in place of 1000"),
    ],
)
def test_other_ids_are_refused(name, change, said):
    protocol = load_protocol(name)
    with pytest.raises(LightsegError, match=said):
        check_test_ids(protocol, change(list(protocol.parts["test"].ids or ())))


def test_other_ids_of_folds_are_held_against_the_nearest():
    folds = load_protocol("ph2-5fold")
    with pytest.raises(LightsegError, match=r"not the cases of fold1 in .*: 1 too many \(x\)"):
        check_test_ids(folds, [*folds.ids("fold1"), "x"])
    with pytest.raises(LightsegError, match=r"not the cases of all folds in .*: 1 missing"):
        check_test_ids(folds, all_ids("ph2-5fold")[1:])


def test_years_share_images():
    official, both = load_protocol("isic2017-official"), set(all_ids("isic2018-random42"))
    assert [len(both & set(official.ids(part))) for part in official.parts] == [1800, 121, 529]
    by_part = r"\(by official part of ISIC 2017: 1800 of train, 121 of val, 529 of test\); never train on one year"
    of_2018 = overlap_warning(data_set("isic2018", both))
    assert re.match(rf"at least 2450 of these 2594 cases are, by id, also in ISIC 2017 {by_part}", of_2018)
    of_2017 = overlap_warning(data_set("isic2017", all_ids("isic2017-official")))
    assert re.match(
        rf"at least 2450 of these 2750 cases are, by id, also in ISIC 2018's training part {by_part}", of_2017
    )
    for year in (both, all_ids("isic2017-official")):
        renamed = overlap_warning(data_set("folder", [*year, "another"]))
        where = "both in ISIC 2017 and in ISIC 2018's training part"
        assert re.match(rf"at least 2450 of these {len(year) + 1} cases are, by id, {where} {by_part}", renamed)
    training = overlap_warning(data_set("isic2017", all_ids("isic2017-random42")))
    assert "1800 of these 2000 cases" in training
    assert "1800 of train, 0 of val, 0 of test" in training
    # Cases of 2018 outside its training part count as well.
    assert "600 of these 600 cases" in overlap_warning(data_set("isic2018", official.ids("test")))


def test_no_warning_without_shared_images():
    assert overlap_warning(data_set("isic2018", ["another"])) is None
    assert overlap_warning(data_set("ph2", all_ids("isic2018-random42"))) is None
    only_2017 = set(all_ids("isic2017-official")) - set(all_ids("isic2018-random42"))
    assert overlap_warning(data_set("folder", only_2017)) is None


def test_notes_give_the_shared_images():
    for name in COUNTS:
        if name.startswith("isic"):
            assert any("at least 1800, 121 and 529" in note for note in load_protocol(name).notes)


def table_row(protocol):
    cases = ", ".join(f"{part.count} {name}" for name, part in protocol.parts.items())
    size = "as it is" if protocol.image_size is None else "{} x {}".format(*protocol.image_size)
    return f"| `{protocol.name}` | {protocol.data_set} | {cases} | {size} | {protocol.title} |"


def test_the_table_of_the_page():
    table, _ = PAGE.read_text().split("## What is checked")
    rows = re.findall(r"^\| `.*$", table, re.MULTILINE)
    assert rows == [table_row(load_protocol(name)) for name in COUNTS]


def test_examples_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for kind in ("images", "masks"):
        (tmp_path / "DIR" / kind).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB" if kind == "images" else "L", (8, 8)).save(tmp_path / "DIR" / kind / f"{number:02d}.png")
    namespace = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(block, namespace)
    assert load_protocol("mine.json").parts["test"].count == 4


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("isic2018-random42", "isic2018_random42_1815-259-520"),
        ("isic2018-sorted", "isic2018_sorted_1815-259-520"),
        ("isic2017-random42", "isic2017_random42_1250-150-600"),
        ("isic2017-sorted", "isic2017_sorted_1250-150-600"),
        ("isic2017-official", "isic2017_official"),
    ],
)
class TestLists:
    pytestmark = real

    def test_lists_beside_the_images(self, name, stem):
        folder = Path(os.environ["LIGHTSEG_DATA"]) / "splits"
        for part in ("train", "val", "test"):
            assert load_protocol(name).ids(part) == read_id_list(folder / f"{stem}_{part}.txt")


class TestImages:
    pytestmark = real

    @pytest.mark.parametrize(
        ("name", "folder", "shares"),
        [
            ("isic2018-sorted", "isic2018/ISIC2018_Task1_Training_GroundTruth", "0.21, 0.14 and 0.27"),
            pytest.param(
                "isic2017-sorted",
                "isic2017/ISIC-2017_Training_Part1_GroundTruth",
                "0.23, 0.08 and 0.15",
                marks=pytest.mark.slow,
            ),
        ],
    )
    def test_foreground_of_the_sorted_parts(self, name, folder, shares):
        protocol = load_protocol(name)
        masks = Path(os.environ["LIGHTSEG_DATA"]) / folder
        means = [
            np.mean([read_mask(masks / f"{case_id}_segmentation.png").mean() for case_id in protocol.ids(part)])
            for part in protocol.parts
        ]
        assert "{:.2f}, {:.2f} and {:.2f}".format(*means) == shares
        assert shares in protocol.notes[0]

    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("isic2018-random42", "isic2018"),
            ("isic2018-70-30", "isic2018"),
            ("isic2017-random42", "isic2017"),
            ("glas-official", "glas/reduced"),
        ],
    )
    def test_the_folders_are_divided_whole(self, name, folder):
        found = read_data_set(Path(os.environ["LIGHTSEG_DATA"]) / folder)
        assert set(load_protocol(name).select(found).ids) == {case.id for case in found.cases}

    def test_ids_and_melanomas_of_ph2(self):
        path = Path(os.environ["LIGHTSEG_DATA"]) / "ph2" / "PH2Dataset" / "PH2_dataset.txt"
        lines = path.read_text(encoding="latin-1").splitlines()
        diagnoses = dict(line.split("\t")[:2] for line in lines if line.startswith("IMD"))
        assert set(diagnoses) == set(all_ids("ph2-external"))
        folds = load_protocol("ph2-5fold")
        melanomas = [sum(diagnoses[case_id] == "2" for case_id in folds.ids(part)) for part in folds.parts]
        assert melanomas == [10, 6, 7, 9, 8]
        assert any("hold 10, 6, 7, 9 and 8" in note for note in folds.notes)

    def test_images_shared_under_other_ids(self):
        folder, page = Path(os.environ["LIGHTSEG_DATA"]), PAGE.read_text()
        of_2017, of_2018 = (
            folder / "isic2017/ISIC-2017_Training_Data",
            folder / "isic2018/ISIC2018_Task1-2_Training_Input",
        )
        pairs = {"0012175": "0015982", "0012970": "0012127", "0000174": "0015071"}
        shown = {
            f"{path.parent.name}/{number}": image_signature(read_rgb(path))
            for ids, place in ((pairs, of_2017), (pairs.values(), of_2018))
            for number in ids
            for path in [place / f"ISIC_{number}.jpg"]
        }
        found = {tuple(name.split("/")[1] for name in group.ids) for group in find_near_duplicates(shown)}
        assert found == set(pairs.items())
        assert all(re.search(rf"ISIC_{one}( is)?\s+nearly ISIC_{other}", page) for one, other in pairs.items())
