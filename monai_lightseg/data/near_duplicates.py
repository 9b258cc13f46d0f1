"""Images that show nearly the same: found by signatures of their coarse structure, compared all with all."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = [
    "SIMILARITY",
    "DuplicateGroup",
    "check_similarity",
    "find_near_duplicates",
    "groups_across",
    "image_signature",
]

SIMILARITY = 0.9

_SIDE = 32  # of the grey image that is transformed
_FREQUENCIES = 16  # along each axis
_FLAT = 1.0  # grey levels; an image that varies less shows nothing to compare
_ROUNDING = 1e-5  # by which copies of one image may differ
_ROWS = 256  # compared at a time with all others, which bounds the memory


@dataclass(frozen=True)
class DuplicateGroup:
    """Images of which each is a near-duplicate of another one in the group.

    Attributes:
        ids: the images, in the order they were given in.
        similarity: that of the least similar pair that was found, at most 1.
        turned: whether a pair is alike only after one image is mirrored or turned by 90, 180 or 270 degrees.
    """

    ids: tuple[str, ...]
    similarity: float
    turned: bool


def image_signature(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what an image (height, width, 3) looks like from afar, to compare it with others.

    The image is made grey and 32 x 32, and its discrete cosine transform cut to the 16 x 16 lowest frequencies. Of each
    coefficient the square root is taken and the sign kept, so that the large coefficients, which a dark spot in the
    middle alone makes, do not outweigh all others. Mean brightness is left out, and contrast divided out.

    Returns:
        float32 array (16, 16) whose squares sum to 1; zeros for an image of one colour, which resembles none.
    """
    picture = Image.fromarray(image).convert("L").convert("F")
    grey = np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BOX))
    signature = dctn(grey, norm="ortho")[:_FREQUENCIES, :_FREQUENCIES].astype(np.float32)
    signature[0, 0] = 0
    if grey.std() < _FLAT:
        return np.zeros_like(signature)
    signature = np.sign(signature) * np.sqrt(np.abs(signature))
    return signature / np.linalg.norm(signature)


def find_near_duplicates(
    signatures: Mapping[str, NDArray[np.float32]], *, similarity: float = SIMILARITY
) -> tuple[DuplicateGroup, ...]:
    """Find images that are alike, also where one is mirrored or turned by 90, 180 or 270 degrees.

    Args:
        signatures: `image_signature` of each image, by its id.
        similarity: from what correlation of two signatures on two images are near-duplicates, 0.5 to 1.

    Returns:
        The groups, most similar first. Images alike through others come to one group.

    Raises:
        ValueError: `similarity` is out of range.
    """
    check_similarity(similarity)
    if not signatures:
        return ()
    ids = list(signatures)
    links = list(_links(np.stack(list(signatures.values())), similarity))
    first, second, value, turned = (np.concatenate(column) for column in zip(*links, strict=True))
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(ids), len(ids)))
    group_of = connected_components(graph, directed=False)[1]
    groups = []
    for number in np.unique(group_of[first]):
        members = tuple(ids[place] for place in np.flatnonzero(group_of == number).tolist())
        inside = group_of[first] == number
        groups.append(DuplicateGroup(members, min(1.0, float(value[inside].min())), bool(turned[inside].any())))
    return tuple(sorted(groups, key=lambda group: -group.similarity))


def check_similarity(similarity: float) -> None:
    """Check that it is 0.5 to 1.

    Raises:
        ValueError: it is not.
    """
    if not 0.5 <= similarity <= 1:
        raise ValueError(f"similarity is {similarity}; pass a number from 0.5 to 1")


def groups_across(
    groups: Sequence[DuplicateGroup], parts: Mapping[str, Collection[str]]
) -> tuple[tuple[DuplicateGroup, tuple[str | None, ...]], ...]:
    """Return the groups with images in more than one part, such as one that trains and one that tests.

    Args:
        groups: groups of near-duplicates.
        parts: ids of each part.

    Returns:
        Each such group with the part of each of its images, None for an image in no part.
    """
    part_of = {case_id: name for name, ids in parts.items() for case_id in ids}
    placed = [(group, tuple(map(part_of.get, group.ids))) for group in groups]
    return tuple((group, places) for group, places in placed if len(set(places) - {None}) > 1)


_Links = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.bool_]]


def _links(signatures: NDArray[np.float32], similarity: float) -> Iterator[_Links]:
    """Yield the pairs among signatures (N, 16, 16) that are alike: first, second, how much, whether only turned."""
    threshold = similarity - _ROUNDING
    flat = signatures.reshape(len(signatures), -1)
    for start in range(0, len(flat), _ROWS):
        rows, others = signatures[start : start + _ROWS], flat[start:].T
        upright = flat[start : start + _ROWS] @ others
        best = upright.copy()
        for turned in _turned(rows):
            np.maximum(best, turned.reshape(len(rows), -1) @ others, out=best)
        first, second = np.nonzero(np.triu(best, 1) >= threshold)
        yield start + first, start + second, best[first, second], upright[first, second] < threshold


def _turned(signatures: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the signatures (N, 16, 16) that the images have in the 8 ways to turn and mirror them."""
    # To mirror an image is to change the sign of its odd frequencies along that axis.
    mirror = np.where(np.arange(_FREQUENCIES) % 2, -1, 1).astype(np.float32)
    for turned in (signatures, signatures.transpose(0, 2, 1)):
        for rows in (1, mirror[:, None]):
            for columns in (1, mirror):
                yield turned * rows * columns
