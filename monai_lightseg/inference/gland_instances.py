"""Glands one by one, from maps that only say where glands and their cores are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_fill_holes, distance_transform_edt, find_objects, label, maximum_filter

__all__ = ["core_border_to_instances", "probabilities_to_instances", "resize_instances"]

_WITH_DIAGONALS = np.ones((3, 3), bool)


def probabilities_to_instances(
    eroded: NDArray[np.floating[Any]],
    full: NDArray[np.floating[Any]],
    *,
    threshold: float = 0.7,
    gland_threshold: float = 0.5,
    min_size: int = 500,
    growth: int = 10,
) -> NDArray[np.int32]:
    """Find glands by the post-processing of the paper on neural ODEs for colon glands.

    Every connected piece of the eroded map is a gland. Pieces grow within the map of whole glands, a pixel in all
    eight directions at a time. Where two meet, the one with the higher number goes on growing over the other, as in
    the paper's code: a common edge can lie some pixels off. Holes in a gland are filled.

    Args:
        eroded: probability of the eroded glands (height, width).
        full: probability of the whole glands (height, width).
        threshold: a pixel is in an eroded gland above it.
        gland_threshold: a pixel is in a gland above it.
        min_size: glands of fewer pixels are dropped, before growth and at the end.
        growth: how many pixels a gland may grow.

    Returns:
        int32 array (height, width): 0 is background, the glands are 1, 2, ...

    Raises:
        ValueError: the maps do not have two dimensions of one size.
    """
    if eroded.ndim != 2 or eroded.shape != full.shape:
        raise ValueError(f"eroded {eroded.shape} and full {full.shape} differ; pass two maps (height, width)")
    pieces, _ = label(eroded > threshold, _WITH_DIAGONALS, output=np.int32)
    instances = _large(pieces, min_size)
    gland = full > gland_threshold
    for _ in range(growth):
        np.copyto(instances, maximum_filter(instances, 3), where=gland)
    return _large(_without_holes(np.where(gland, instances, 0)), min_size)


def core_border_to_instances(
    semantic: NDArray[np.integer[Any]], *, core: int = 1, border: int = 2, min_size: int = 500
) -> NDArray[np.int32]:
    """Find objects in a map of classes, such as nnU-Net predicts after `lightseg data convert`.

    Every connected piece of core is an object. A border pixel goes to the nearest core of the same connected piece of
    core and border. A piece of border without any core is an object too: a gland too thin to have one.

    Args:
        semantic: classes (height, width); all but `core` and `border` are background.
        core: the class of cores.
        border: the class of borders.
        min_size: objects of fewer pixels, border included, are dropped.

    Returns:
        int32 array (height, width): 0 is background, the objects are 1, 2, ...

    Raises:
        ValueError: the map does not have two dimensions.
    """
    if semantic.ndim != 2:
        raise ValueError(f"semantic has the shape {semantic.shape}; pass (height, width)")
    cores, cores_count = label(semantic == core, _WITH_DIAGONALS, output=np.int32)
    pieces, pieces_count = label((semantic == core) | (semantic == border), _WITH_DIAGONALS, output=np.int32)
    piece_of_core = np.zeros(cores_count + 1, np.int32)
    piece_of_core[cores] = pieces
    piece_of_core[0] = 0  # background, which has no piece
    cores_per_piece = np.bincount(piece_of_core[1:], minlength=pieces_count + 1)
    # The object of a piece: its only core, or a number after all cores where it has none.
    object_of_piece = np.arange(pieces_count + 1) + cores_count
    object_of_piece[piece_of_core] = np.arange(cores_count + 1)
    objects = object_of_piece[pieces]
    places = find_objects(pieces)
    for number in np.flatnonzero(cores_per_piece > 1):
        place = places[number - 1]
        piece = pieces[place] == number
        cores_here = np.where(piece, cores[place], 0)
        rows, columns = distance_transform_edt(cores_here == 0, return_distances=False, return_indices=True)
        objects[place][piece] = cores_here[rows, columns][piece]
    return _large(objects, min_size)


def resize_instances(instances: NDArray[np.integer[Any]], size: tuple[int, int]) -> NDArray[np.int32]:
    """Resize a map of instances (height, width) to `size`, also (height, width), by the nearest pixel."""
    picture = Image.fromarray(instances.astype(np.int32))
    return np.array(picture.resize((size[1], size[0]), Image.Resampling.NEAREST))


def _large(instances: NDArray[np.int32], min_size: int) -> NDArray[np.int32]:
    """Drop instances of fewer than `min_size` pixels and number the rest 1, 2, ... in their order."""
    sizes = np.bincount(instances.ravel())
    kept = (sizes >= max(min_size, 1)) & (np.arange(len(sizes)) > 0)
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[instances]


def _without_holes(instances: NDArray[np.int32]) -> NDArray[np.int32]:
    """Fill the holes of every instance, in the order of their numbers; what lies in a hole becomes part of it."""
    filled = instances.copy()
    for number, place in enumerate(find_objects(instances), start=1):
        if place is not None:
            filled[place][binary_fill_holes(filled[place] == number)] = number
    return filled
