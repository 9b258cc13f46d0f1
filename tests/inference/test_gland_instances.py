import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_fill_holes, label

from monai_lightseg.data import core_border_labels, gland_targets
from monai_lightseg.inference import core_border_to_instances, probabilities_to_instances, resize_instances

CELL = 64


def same_up_to_numbers(one: np.ndarray, two: np.ndarray) -> bool:
    pairs = set(zip(one.ravel().tolist(), two.ravel().tolist(), strict=True))
    same_background = all((a == 0) == (b == 0) for a, b in pairs)
    return same_background and len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


@st.composite
def separate_glands(draw) -> np.ndarray:
    """Ellipses, one in a cell of its own, some cells empty."""
    rows, columns = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    y, x = np.indices((CELL, CELL)) - CELL / 2 + 0.5
    labels = np.zeros((rows * CELL, columns * CELL), np.int32)
    numbers = draw(st.permutations(range(1, 1 + rows * columns)))
    for index, number in enumerate(numbers):
        if draw(st.booleans()):
            place = np.s_[index // columns * CELL :, index % columns * CELL :]
            cell = labels[place][:CELL, :CELL]
            cell[(y / draw(st.integers(22, 31))) ** 2 + (x / draw(st.integers(22, 31))) ** 2 < 1] = number * 3
    return labels


@given(separate_glands())
@settings(max_examples=40, deadline=None)
def test_perfect_maps_of_separate_glands_come_back(labels):
    targets = gland_targets(labels)
    for found in (probabilities_to_instances(*targets), core_border_to_instances(core_border_labels(labels))):
        assert found.dtype == np.int32
        assert same_up_to_numbers(found, labels)
        np.testing.assert_array_equal(np.unique(found[found > 0]), np.arange(1, found.max() + 1))


def touching() -> np.ndarray:
    labels = np.zeros((80, 140), np.int32)
    labels[10:70, 10:70] = 1
    labels[10:70, 70:130] = 2
    return labels


def test_glands_that_touch_come_back_as_two():
    labels = touching()
    assert label(labels > 0)[1] == 1
    np.testing.assert_array_equal(core_border_to_instances(core_border_labels(labels)), labels)
    found = probabilities_to_instances(*gland_targets(labels))
    np.testing.assert_array_equal(found > 0, labels > 0)
    # Of ten pixels of growth, six meet at the common edge; the higher number goes on for four.
    np.testing.assert_array_equal(found[40, 10:130], np.repeat([1, 2], [56, 64]))
    # With as much growth as erosion the edge is found.
    np.testing.assert_array_equal(probabilities_to_instances(*gland_targets(labels), growth=6), labels)


def disc(shape: tuple[int, int], centre: tuple[int, int], radius: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(rows - centre[0], columns - centre[1]) < radius


def test_thresholds_are_exclusive():
    gland = disc((80, 80), (40, 40), 30)
    eroded, full = gland * 0.7, gland * 0.5
    assert probabilities_to_instances(eroded + 0.01, full + 0.01).any()
    assert not probabilities_to_instances(eroded, full + 0.01).any()
    assert not probabilities_to_instances(eroded + 0.01, full).any()
    assert probabilities_to_instances(eroded, full, threshold=0.6, gland_threshold=0.4).any()


def test_holes_are_filled():
    ring = disc((100, 100), (50, 50), 40) & ~disc((100, 100), (50, 50), 15)
    maps = ring.astype(float), ring.astype(float)
    np.testing.assert_array_equal(probabilities_to_instances(*maps), disc((100, 100), (50, 50), 40))


def test_a_gland_in_a_hole_becomes_part_of_it():
    ring = disc((200, 200), (100, 100), 90) & ~disc((200, 200), (100, 100), 60)
    both = (ring | disc((200, 200), (100, 100), 30)).astype(float)
    np.testing.assert_array_equal(probabilities_to_instances(both, both), disc((200, 200), (100, 100), 90))


def test_a_bay_is_no_hole():
    gland = disc((100, 100), (50, 50), 40)
    gland[45:55, 50:] = False
    found = probabilities_to_instances(gland.astype(float), gland.astype(float))
    np.testing.assert_array_equal(found, gland)


def test_small_ones_are_dropped_before_and_after():
    full = np.zeros((60, 90))
    full[10:40, 10:40] = full[10:40, 50:70] = 1
    eroded = np.zeros((60, 90))
    eroded[10:35, 10:30] = 1  # 500 pixels, grows to all 900
    eroded[15:35, 50:69] = 1  # 380, could grow to 600
    np.testing.assert_array_equal(probabilities_to_instances(eroded, full), full * (np.arange(90) < 45))
    found = probabilities_to_instances(eroded, full, min_size=380)
    assert found.max() == 2
    # The full map is far smaller than what was found in the eroded one.
    assert not probabilities_to_instances(eroded, full * (np.arange(90) < 20)).any()


@given(seed=st.integers(0, 10_000), growth=st.integers(0, 12))
@settings(max_examples=40, deadline=None)
def test_growth_never_leaves_the_gland_map(seed, growth):
    rng = np.random.default_rng(seed)
    eroded, full = np.kron(rng.random((2, 8, 8)), np.ones((6, 6)))
    found = probabilities_to_instances(eroded, full, min_size=0, growth=growth)
    # Holes of a gland are filled, so holes of the map may be.
    assert not (found > 0)[~binary_fill_holes(full > 0.5)].any()
    assert not probabilities_to_instances(eroded, np.zeros_like(full), min_size=0, growth=growth).any()


def test_growth_stops_at_the_gland_map_and_at_its_reach():
    full = np.zeros((60, 100))
    full[20:40, 20:90] = 1
    eroded = np.zeros((60, 100))
    eroded[15:45, 30:50] = 1
    expected = np.zeros((60, 100))
    expected[20:40, 20:60] = 1
    np.testing.assert_array_equal(probabilities_to_instances(eroded, full), expected)


def test_growth_does_not_cross_a_gap():
    full = np.ones((60, 100))
    full[:, 48:50] = 0
    eroded = np.zeros((60, 100))
    eroded[:, 20:46] = 1
    found = probabilities_to_instances(eroded, full)
    assert found[:, 10:48].all()
    assert not found[:, 48:].any()


def test_nothing_in_nothing_out():
    nothing = np.zeros((7, 9), np.float32)
    assert not probabilities_to_instances(nothing, nothing).any()
    found = core_border_to_instances(nothing.astype(np.uint8))
    assert (found.shape, found.dtype, found.any()) == ((7, 9), np.int32, False)


def instances(rows: list[str], **settings) -> list[str]:
    """Of a picture with c for core and b for border."""
    semantic = np.array([[".cb".index(cell) for cell in row] for row in rows])
    found = core_border_to_instances(semantic, **{"min_size": 0} | settings)
    return ["".join(".123456789"[number] for number in row) for row in found]


def test_a_border_pixel_goes_to_the_nearest_core():
    assert instances(["cbbbbc", "bbbbbb"]) == ["111222", "111222"]


def test_cores_of_another_gland_do_not_count():
    # The last b of the first gland is nearer to the second core, but not connected to it.
    assert instances(["cbbbb.c"]) == ["11111.2"]
    assert instances(["cbbbbc...", ".........", "....cbbbb"]) == ["111222...", ".........", "....33333"]


def test_corners_connect():
    assert instances(["c..", ".c.", "..b"]) == ["1..", ".1.", "..1"]


def test_border_without_core_is_an_object_of_its_own():
    assert instances(["c.b", "..b"]) == ["1.2", "..2"]
    assert instances(["b.c", "b.."]) == ["2.1", "2.."]
    assert instances(["bb", "bb"]) == ["11", "11"]


def test_core_without_border():
    assert instances(["c.c", "c.."]) == ["1.2", "1.."]


def test_min_size_counts_the_border():
    assert instances(["cbb..cb"], min_size=3) == ["111...."]
    assert instances(["cb..cbb"], min_size=3) == ["....111"]


def test_the_default_size_is_that_of_the_paper():
    semantic = np.zeros((60, 60), np.uint8)
    semantic[:20, :25] = 1
    assert core_border_to_instances(semantic).any()
    semantic[0, 0] = 0
    assert not core_border_to_instances(semantic).any()


def test_other_class_numbers():
    semantic = np.array([[3, 1, 0, 2]])
    np.testing.assert_array_equal(core_border_to_instances(semantic, core=3, border=1, min_size=0), [[1, 1, 0, 0]])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_objects_cover_core_and_border_and_split_by_core(seed):
    semantic = np.random.default_rng(seed).choice(3, (12, 14), p=[0.5, 0.15, 0.35])
    found = core_border_to_instances(semantic, min_size=0)
    np.testing.assert_array_equal(found > 0, semantic > 0)
    cores, count = label(semantic == 1, np.ones((3, 3)))
    assert same_up_to_numbers(np.where(semantic == 1, found, 0), cores)
    pieces, _ = label(semantic > 0, np.ones((3, 3)))
    # No object reaches over two pieces.
    assert all(len(np.unique(pieces[found == number])) == 1 for number in range(1, found.max() + 1))
    for row, column in np.argwhere(semantic == 2):
        same = np.argwhere((pieces == pieces[row, column]) & (cores > 0))
        if len(same):
            distances = np.hypot(*(same - (row, column)).T)
            nearest = {int(found[tuple(place)]) for place in same[distances < distances.min() + 1e-9]}
            assert int(found[row, column]) in nearest
    assert found.max() == count + len(set(np.unique(pieces)) - set(np.unique(pieces[cores > 0])) - {0})


def test_resize():
    labels = np.kron(np.array([[0, 1], [70000, 3]], np.int32), np.ones((3, 4), np.int32))
    np.testing.assert_array_equal(resize_instances(labels, (2, 2)), [[0, 1], [70000, 3]])
    back = resize_instances(np.array([[0, 1], [70000, 3]]), (6, 8))
    assert back.dtype == np.int32
    np.testing.assert_array_equal(back, labels)


@pytest.mark.parametrize("shapes", [((4, 5), (5, 4)), ((1, 4, 5), (1, 4, 5))])
def test_bad_maps(shapes):
    with pytest.raises(ValueError, match="pass two maps"):
        probabilities_to_instances(*map(np.zeros, shapes))
    with pytest.raises(ValueError, match=r"\(1, 4, 5\)"):
        core_border_to_instances(np.zeros((1, 4, 5), np.uint8))
