from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_lightseg.data import FileCase, contact_sheet, draw_cases, write_contact_sheet
from monai_lightseg.errors import LightsegError

GREEN = (0, 255, 90)


@dataclass(frozen=True)
class Drawn:
    id: str
    label: np.ndarray
    size: tuple[int, int] = (48, 64)

    @property
    def paths(self) -> tuple[Path, ...]:
        return ()

    def read_image(self) -> np.ndarray:
        return np.full((*self.size, 3), 100, np.uint8)

    def read_label(self) -> np.ndarray:
        return self.label

    def read_pair(self) -> tuple[np.ndarray, np.ndarray]:
        return self.read_image(), self.label


def square(value: int = 1, dtype: type = np.uint8) -> np.ndarray:
    label = np.zeros((48, 64), dtype)
    label[16:32, 16:48] = value
    return label


def green(sheet: np.ndarray) -> np.ndarray:
    return (sheet == GREEN).all(axis=2)


def test_outline_lies_where_the_mask_is():
    sheet = contact_sheet([Drawn("a", square())], [""])
    line = green(sheet)
    # The thumbnail is 144 x 192, three times the image, and lies 4 pixels from the edges.
    inside = np.zeros_like(line)
    inside[4 + 48 : 4 + 96, 4 + 48 : 4 + 144] = True
    hole = np.zeros_like(line)
    hole[4 + 49 : 4 + 95, 4 + 49 : 4 + 143] = True
    np.testing.assert_array_equal(line, inside & ~hole)


def test_a_mask_of_another_size_is_laid_over_the_image():
    double = square().repeat(2, axis=0).repeat(2, axis=1)
    same, larger = (green(contact_sheet([Drawn("a", label)], ["a"])) for label in (square(), double))
    np.testing.assert_array_equal(same, larger)


def test_empty_and_full_masks_look_different():
    empty, full = (contact_sheet([Drawn("a", np.full((48, 64), value, np.uint8))], ["a"]) for value in (0, 1))
    assert not green(empty).any()
    assert green(full).sum() == 2 * (144 + 192) - 4


def test_objects_that_touch_are_divided():
    label = square(1, np.int32)
    label[16:32, 32:48] = 7
    line = green(contact_sheet([Drawn("a", label)], ["a"]))
    middle = 4 + 96
    assert line[4 + 50 : 4 + 94, middle - 1 : middle + 1].all()
    assert not line[4 + 50 : 4 + 94, middle - 20 : middle - 1].any()


def test_rows_of_eight_and_captions():
    one, nine = (contact_sheet([Drawn("a", square())] * count, ["name"] * count) for count in (1, 9))
    assert nine.shape[1] == 8 * (one.shape[1] - 4) + 4
    assert nine.shape[0] == 2 * (one.shape[0] - 4) + 4
    text = one[4 + 144 :].max(axis=2) > 128
    assert text.any()
    other = contact_sheet([Drawn("a", square())], ["other"])
    assert (other[4 + 144 :] != one[4 + 144 :]).any()


def test_long_captions_keep_their_ends():
    def caption(text: str) -> np.ndarray:
        return contact_sheet([Drawn("a", square())], [text])[4 + 144 :]

    shared = "0123456789" * 10
    assert (caption(f"{shared}_1") != caption(f"{shared}_2")).any()
    np.testing.assert_array_equal(caption(f"1_{shared}"), caption(f"2_{shared}"))
    lit = (caption(shared).max(axis=2) > 128).any(axis=0)
    assert lit[:30].any()
    assert not lit[4 + 192 :].any()


@pytest.mark.parametrize("size", [(300, 20), (20, 300), (1, 500), (30, 30)])
def test_any_shape_fits(size):
    sheet = contact_sheet([Drawn("a", np.ones(size, np.uint8), size), Drawn("b", square())], ["a", "b"])
    assert sheet.shape[1] == 2 * 196 + 4
    assert green(sheet)[:, 4:196].any()


def test_drawn_evenly_in_order_and_by_seed():
    cases = [Drawn(str(number), square()) for number in range(100)]
    drawn = [int(case.id) for case in draw_cases(cases, 10, seed=3)]
    assert [number // 10 for number in drawn] == list(range(10))
    assert drawn == [int(case.id) for case in draw_cases(cases, 10, seed=3)]
    assert drawn != [int(case.id) for case in draw_cases(cases, 10, seed=4)]
    assert draw_cases(cases[:5], 10) == cases[:5]


def test_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "sheet.png"
    write_contact_sheet(target, [Drawn("a", square())], ["a"])
    with Image.open(target) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), contact_sheet([Drawn("a", square())], ["a"]))
    before = target.read_bytes()
    with pytest.raises(LightsegError, match=r"nowhere\.png does not exist"):
        write_contact_sheet(target, [FileCase("a", tmp_path / "nowhere.png", tmp_path / "nowhere.png")], ["a"])
    assert [path.name for path in target.parent.iterdir()] == ["sheet.png"]
    assert target.read_bytes() == before


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LightsegError, match=r"sheet\.png cannot be written"):
        write_contact_sheet(tmp_path / "file" / "sheet.png", [Drawn("a", square())], ["a"])


def test_no_case():
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([], [])
