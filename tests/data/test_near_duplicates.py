import io
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from monai_lightseg.data import DuplicateGroup, find_near_duplicates, groups_across, image_signature, synthetic_cases

CASES = synthetic_cases(40, size=(96, 128))


@cache
def picture(place: int = 0) -> Image.Image:
    return Image.fromarray(CASES[place].read_image())


def as_jpeg(image: Image.Image) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=30)
    return Image.open(content).convert("RGB")


def signature(image: Image.Image) -> np.ndarray:
    return image_signature(np.asarray(image))


@cache
def signatures() -> dict[str, np.ndarray]:
    return {case.id: image_signature(case.read_image()) for case in CASES}


def test_signature():
    found = signature(picture())
    assert (found.shape, found.dtype) == ((16, 16), np.float32)
    assert np.square(found).sum() == pytest.approx(1, abs=1e-5)
    assert found[0, 0] == 0


def test_different_images_are_not_found():
    assert find_near_duplicates(signatures()) == ()
    assert find_near_duplicates({}) == ()


@pytest.mark.parametrize(
    ("change", "turned"),
    [
        (lambda image: image, False),
        (as_jpeg, False),
        (lambda image: image.resize((119, 90), Image.Resampling.BILINEAR), False),
        (lambda image: image.resize((256, 256), Image.Resampling.BICUBIC), False),
        (lambda image: ImageEnhance.Contrast(image).enhance(0.6), False),
        (lambda image: image.crop((1, 1, 127, 95)), False),
        *((lambda image, way=way: as_jpeg(image.transpose(way)), True) for way in Image.Transpose),
    ],
)
@pytest.mark.parametrize("place", [0, 7, 23])
def test_a_copy_is_found(change, turned, place):
    found = find_near_duplicates({**signatures(), "copy": signature(change(picture(place)))})
    assert [(group.ids, group.turned) for group in found] == [((CASES[place].id, "copy"), turned)]
    assert 0.9 <= found[0].similarity <= 1


def test_groups_and_their_order():
    copies = {
        "second of 5": signature(as_jpeg(picture(5))),
        "second of 3": signature(picture(3)),
        "third of 5": signature(picture(5).transpose(Image.Transpose.ROTATE_90)),
    }
    exact, linked = find_near_duplicates({**signatures(), **copies})
    assert exact == DuplicateGroup((CASES[3].id, "second of 3"), pytest.approx(1), False)
    assert (linked.ids, linked.turned) == ((CASES[5].id, "second of 5", "third of 5"), True)
    first, second = (image_signature(np.asarray(image)) for image in (picture(5), as_jpeg(picture(5))))
    assert linked.similarity == pytest.approx(float((first * second).sum()), abs=1e-6)


def test_similarity_decides():
    two = {"a": signature(picture()), "cropped": signature(picture().crop((4, 3, 124, 93)))}
    assert find_near_duplicates(two) == ()
    (group,) = find_near_duplicates(two, similarity=0.75)
    assert group.ids == ("a", "cropped")


@pytest.mark.parametrize("change", [lambda image: image.rotate(5), lambda image: image.crop((10, 8, 118, 88))])
def test_what_is_not_found(change):
    assert find_near_duplicates({"a": signature(picture()), "b": signature(change(picture()))}) == ()


def test_the_highest_similarity_finds_copies():
    two = {"a": signature(picture()), "b": signature(picture())}
    assert [group.ids for group in find_near_duplicates(two, similarity=1)] == [("a", "b")]


@pytest.mark.parametrize("similarity", [0.49, 1.01, float("nan")])
def test_similarity_out_of_range(similarity):
    with pytest.raises(ValueError, match=r"from 0\.5 to 1"):
        find_near_duplicates({}, similarity=similarity)


def test_images_of_one_colour_resemble_none():
    plain = {str(grey): image_signature(np.full((60, 80, 3), grey, np.uint8)) for grey in (0, 128, 255)}
    assert not np.any(list(plain.values()))
    assert find_near_duplicates({**signatures(), **plain}) == ()


def test_more_images_than_are_compared_at_once():
    rng = np.random.default_rng(0)
    many = rng.normal(size=(700, 16, 16)).astype(np.float32)
    many /= np.linalg.norm(many, axis=(1, 2), keepdims=True)
    many[600], many[699] = many[10], many[300].T
    found = find_near_duplicates(dict(zip(map(str, range(700)), many, strict=True)))
    assert {(group.ids, group.turned) for group in found} == {(("10", "600"), False), (("300", "699"), True)}


def test_groups_across_parts():
    groups = (DuplicateGroup(("a", "b"), 1, False), DuplicateGroup(("c", "d", "e"), 0.9, False))
    parts = {"train": ["a", "b", "c"], "test": ["d"]}
    assert groups_across(groups, parts) == ((groups[1], ("train", "test", None)),)
    assert groups_across(groups, {"train": ["a", "c"]}) == ()
