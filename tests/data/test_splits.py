import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_lightseg.data import Split, random_split, read_id_list
from monai_lightseg.errors import LightsegError

IDS = st.sets(st.text("abcdef0123", min_size=1, max_size=6), min_size=3, max_size=60)


@given(ids=IDS, val=st.floats(0.01, 0.49), test=st.floats(0.01, 0.5), seed=st.integers(0, 2**32))
def test_every_id_is_in_one_part(ids, val, test, seed):
    split = random_split(ids, val=val, test=test, seed=seed)
    assert sorted(split.train + split.val + split.test) == sorted(ids)
    for part in (split.train, split.val, split.test):
        assert part
        assert list(part) == sorted(part)
    split.check(ids)


@given(ids=IDS, order=st.randoms())
def test_order_of_the_ids_does_not_matter(ids, order):
    shuffled = sorted(ids)
    order.shuffle(shuffled)
    assert random_split(shuffled) == random_split(sorted(ids))


def test_shares_and_seed():
    ids = [f"{number:03d}" for number in range(100)]
    split = random_split(ids)
    assert [len(part) for part in (split.train, split.val, split.test)] == [65, 15, 20]
    assert split == random_split(ids, seed=42)
    assert split != random_split(ids, seed=43)
    assert split.train != tuple(ids[:65])


def test_split_stays_the_same_from_release_to_release():
    assert random_split("abcdefghij") == Split(train=("a", "c", "d", "f", "g", "h"), val=("e", "j"), test=("b", "i"))


def test_random_split_takes_numbers():
    ids = [str(number) for number in range(100)]
    shuffled = [sorted(ids)[place] for place in np.random.default_rng(42).permutation(100)]
    split = random_split(ids, val=7, test=13)
    assert split.train == tuple(sorted(shuffled[:80]))
    assert split.val == tuple(sorted(shuffled[80:87]))
    assert split.test == tuple(sorted(shuffled[87:]))
    with pytest.raises(LightsegError, match="leave none of 100 cases"):
        random_split(ids, val=50, test=50)


@pytest.mark.parametrize(
    ("ids", "options", "said"),
    [
        ("ab", {}, "at least 3"),
        ("aabc", {}, "twice: a"),
        ("abcd", {"val": 0.0}, "val=0.0"),
        ("abcd", {"test": 0.0}, "test=0.0"),
        ("abcd", {"val": 0.5, "test": 0.5}, "below 1"),
        ("abcd", {"val": float("nan")}, "val=nan"),
        ("abcd", {"seed": -1}, "seed is -1"),
    ],
)
def test_random_split_refuses(ids, options, said):
    with pytest.raises(LightsegError, match=said):
        random_split(ids, **options)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (((), ("a",), ()), "no train case"),
        ((("a",), (), ("b",)), "no val case"),
        ((("a", "a"), ("b",), ()), "twice: a"),
        ((("a",), ("a",), ()), "twice: a"),
        ((("a",), ("b",), ("c", "b")), "twice: b"),
    ],
)
def test_split_refuses(parts, said):
    with pytest.raises(LightsegError, match=said):
        Split(*parts)


def test_test_part_may_be_empty():
    assert Split(("a",), ("b",), ()).test == ()


def test_check_names_the_missing_ones():
    split = Split(tuple("abcdef"), ("g",), ("h",))
    with pytest.raises(LightsegError, match=r"a, b, c, d, e, \.\.\. and 2 more"):
        split.check({"h", "z"})


def test_check_tells_ids_from_file_names():
    split = Split(("c0.png",), ("c1",), ())
    with pytest.raises(LightsegError, match=r"not there: c0\.png; ids have no file ending"):
        split.check({"c0", "c1"})
    with pytest.raises(LightsegError, match=r"not there: c0\.png; use a split of these cases"):
        split.check({"c1", "c2"})


def test_id_list(tmp_path):
    path = tmp_path / "ids.txt"
    path.write_bytes("\ufeffb\r\n\r\n a \nc".encode())
    assert read_id_list(path) == ("b", "a", "c")


@pytest.mark.parametrize(
    ("content", "said"), [(b"\n \n", "holds no id"), (b"a\nb\na", "twice: a"), (b"\xff\xfe\x00", "cannot be read")]
)
def test_id_list_refuses(tmp_path, content, said):
    path = tmp_path / "ids.txt"
    path.write_bytes(content)
    with pytest.raises(LightsegError, match=said) as caught:
        read_id_list(path)
    assert str(path) in str(caught.value)


def test_id_list_missing(tmp_path):
    with pytest.raises(LightsegError, match="cannot be read"):
        read_id_list(tmp_path / "ids.txt")
