"""Two label maps of one image: which of their objects belong together, how they overlap, how far apart they are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from monai.config import NdarrayOrTensor
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects
from torch import Tensor

from monai_lightseg.errors import LightsegError

__all__ = [
    "Convention",
    "ObjectMap",
    "ObjectPair",
    "as_label_maps",
    "dice_row",
    "f1_row",
    "hausdorff_row",
    "pair_objects",
]

Convention = Literal["challenge", "pinckaers"]

# Cells of the table of overlaps: 800 MB, enough for 9999 objects on each side.
LARGEST_TABLE = 10**8
# The partner of an object that overlaps no object. As an index it takes some value, which is never used.
NOBODY = -1
BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class ObjectMap:
    """The objects of one label map, numbered 1..n in the order of their labels; 0 is the background.

    Attributes:
        numbers: (H, W), the number of the object at each pixel.
        areas: (n + 1,) pixels.
        boxes: (n + 1, 2, 2), first index and index past the last, on each axis; of the background, the whole image.
    """

    numbers: NDArray[np.intp]
    areas: NDArray[np.intp]
    boxes: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class ObjectPair:
    """The objects of a prediction and of the truth.

    Attributes:
        prediction: p objects.
        truth: t objects.
        overlap: (p + 1, t + 1), pixels that have this number in the prediction and that number in the truth.
    """

    prediction: ObjectMap
    truth: ObjectMap
    overlap: NDArray[np.intp]


def as_label_maps(maps: NdarrayOrTensor) -> NDArray[np.integer]:
    """The same as an array of integers, any shape; floats, as MONAI's transforms give them, where all are whole.

    Raises:
        LightsegError: some numbers are not whole, or negative.
    """
    labels = maps.detach().cpu().numpy() if isinstance(maps, Tensor) else np.asarray(maps)
    if np.issubdtype(labels.dtype, np.floating):
        if not (np.isfinite(labels) & (labels == np.trunc(labels))).all():
            raise LightsegError(
                "a label map holds fractions, NaN or infinity: give whole numbers, 0 for the background and a number "
                "for each object"
            )
        labels = labels.astype(np.int64)
    if not np.issubdtype(labels.dtype, np.integer):
        raise LightsegError(
            f"a label map holds {labels.dtype}: give whole numbers, 0 for the background and a number for each object"
        )
    if labels.size and labels.min() < 0:
        raise LightsegError(
            f"a label map holds {labels.min()}: give 0 to the background and positive numbers to objects"
        )
    return labels


def pair_objects(prediction: NdarrayOrTensor, truth: NdarrayOrTensor) -> ObjectPair:
    """Number the objects of two label maps (H, W) and count the pixels they share.

    Raises:
        LightsegError: the maps differ in size, are not (H, W), hold other numbers than integers from 0, or so many
            objects that they look like intensities.
    """
    maps = as_label_maps(prediction), as_label_maps(truth)
    if maps[0].shape != maps[1].shape:
        raise LightsegError(f"the prediction is {maps[0].shape}, the truth {maps[1].shape}: give both one size")
    if maps[0].ndim != 2:
        raise LightsegError(f"a label map is {maps[0].shape}: give one image, (height, width)")
    predicted, true = (_number(labels) for labels in maps)
    shape = len(predicted.areas), len(true.areas)
    if shape[0] * shape[1] > LARGEST_TABLE:
        raise LightsegError(
            f"the label maps hold {shape[0] - 1} and {shape[1] - 1} objects, more than can be compared; these look "
            "like intensities rather than labels: give 0 for the background and a number for each object"
        )
    both = predicted.numbers * shape[1] + true.numbers
    overlap = np.bincount(both.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
    return ObjectPair(predicted, true, overlap)


def _number(labels: NDArray[np.integer]) -> ObjectMap:
    present = np.unique(labels)
    present = present[present > 0]
    numbers = np.searchsorted(present, labels, side="right")
    boxes = [[[0, side] for side in labels.shape]]
    boxes += [[[axis.start, axis.stop] for axis in box] for box in find_objects(numbers)]
    areas = np.bincount(numbers.ravel(), minlength=len(present) + 1)
    return ObjectMap(numbers, areas, np.array(boxes))


def f1_row(pair: ObjectPair, convention: Convention) -> tuple[int, int, int]:
    """True objects hit, predicted objects that hit none, true objects missed."""
    partners = _partners(pair.overlap, with_background=False)
    shared = 2 * pair.overlap[np.arange(1, len(pair.overlap)), partners]
    area = pair.truth.areas[partners]
    hits = (partners != NOBODY) & (shared > area if convention == "pinckaers" else shared >= area)
    # Two predicted objects may hold half of a true object each.
    hit = len(np.unique(partners[hits]))
    return hit, len(pair.prediction.areas) - 1 - hit, len(pair.truth.areas) - 1 - hit


def dice_row(pair: ObjectPair, convention: Convention) -> tuple[float, float, float, float]:
    """Sum of area times Dice, and of area: over true objects, then over predicted objects."""
    over_truth = _dice(pair.truth, pair.prediction, pair.overlap.T, convention)
    over_prediction = _dice(pair.prediction, pair.truth, pair.overlap, convention)
    return *_weighted(over_truth, pair.truth), *_weighted(over_prediction, pair.prediction)


def hausdorff_row(
    pair: ObjectPair, convention: Convention, spacing: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Sum of area times Hausdorff distance, and of area: over true objects, then over predicted objects.

    Args:
        pair: the objects.
        convention: whether background can be a partner.
        spacing: (2,), height and width of a pixel.
    """

    @cache
    def distance(predicted: int, true: int) -> float:
        boxes = pair.prediction.boxes[predicted], pair.truth.boxes[true]
        window = tuple(slice(min(one[0], other[0]), max(one[1], other[1])) for one, other in zip(*boxes, strict=True))
        regions = pair.prediction.numbers[window] == predicted, pair.truth.numbers[window] == true
        return _hausdorff_distance(*regions, spacing)

    def from_truth(true: int, predicted: int) -> float:
        return distance(predicted, true)

    over_truth = _distances(pair.truth, pair.prediction, pair.overlap.T, convention, from_truth, spacing)
    over_prediction = _distances(pair.prediction, pair.truth, pair.overlap, convention, distance, spacing)
    return *_weighted(over_truth, pair.truth), *_weighted(over_prediction, pair.prediction)


def _partners(overlap: NDArray[np.intp], *, with_background: bool) -> NDArray[np.intp]:
    """Per object of the rows, the column that overlaps it most, the smallest of several; NOBODY if no object does."""
    counts = overlap[1:].copy()
    meets_object = counts[:, 1:].any(axis=1)
    if not with_background:
        counts[:, BACKGROUND] = 0
    return np.where(meets_object, counts.argmax(axis=1), NOBODY)


def _weighted(values: NDArray[np.float64], objects: ObjectMap) -> tuple[float, float]:
    areas = objects.areas[1:]
    return float((areas * values).sum()), float(areas.sum())


def _dice(
    objects: ObjectMap, others: ObjectMap, overlap: NDArray[np.intp], convention: Convention
) -> NDArray[np.float64]:
    """Dice of each object with its partner, (n,)."""
    partners = _partners(overlap, with_background=convention == "pinckaers")
    shared = overlap[np.arange(1, len(overlap)), partners]
    return np.where(partners == NOBODY, 0.0, 2 * shared / (objects.areas[1:] + others.areas[partners]))


def _distances(
    objects: ObjectMap,
    others: ObjectMap,
    overlap: NDArray[np.intp],
    convention: Convention,
    distance: Callable[[int, int], float],
    spacing: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Hausdorff distance of each object to its partner, or to the nearest object if it has none, (n,)."""
    partners = _partners(overlap, with_background=convention == "pinckaers")
    distances = np.empty(len(partners))
    for i, partner in enumerate(partners.tolist()):
        if partner != NOBODY:
            distances[i] = distance(i + 1, partner)
            continue
        # Where two boxes begin or end is a lower bound of the distance, so most objects need not be looked at.
        bounds = (np.abs(others.boxes[1:] - objects.boxes[i + 1]) * spacing[:, None]).max(axis=(1, 2))
        nearest = np.inf
        for other in np.argsort(bounds).tolist():
            if bounds[other] >= nearest:
                break
            nearest = min(nearest, distance(i + 1, other + 1))
        distances[i] = nearest
    return distances


def _hausdorff_distance(one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: NDArray[np.float64]) -> float:
    """Between two regions, each with at least one pixel."""
    return max(_farthest(one, other, spacing), _farthest(other, one, spacing))


def _farthest(one: NDArray[np.bool_], other: NDArray[np.bool_], spacing: NDArray[np.float64]) -> float:
    """Largest distance from a pixel of `one` to the nearest pixel of `other`."""
    outside = one & ~other
    if not outside.any():
        return 0.0
    return float(distance_transform_edt(~other, sampling=spacing)[outside].max())
