"""Object F1, object Dice and object Hausdorff distance of the GlaS challenge, as MONAI metrics.

Sirinukunwattana et al., "Gland segmentation in colon histology images: the GlaS challenge contest" (2017),
https://arxiv.org/abs/1603.00275. Definitions, conventions and empty images: docs/gland_metrics.md.

A label map holds whole numbers, of an integer or float type: 0 for the background, another number for each object.
Numbers need not be consecutive, and an object need not be connected: split a mask into objects first.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from monai.config import NdarrayOrTensor
from monai.metrics import CumulativeIterationMetric
from monai.utils import look_up_option
from numpy.typing import NDArray
from torch import Tensor

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics.gland_objects import (
    Convention,
    ObjectPair,
    as_label_maps,
    dice_row,
    f1_row,
    hausdorff_row,
    pair_objects,
)

__all__ = [
    "ObjectDiceMetric",
    "ObjectF1Metric",
    "ObjectHausdorffMetric",
    "Reduction",
    "compute_object_dice",
    "compute_object_f1",
    "compute_object_hausdorff",
]

Reduction = Literal["dataset", "mean"]


def compute_object_f1(y_pred: NdarrayOrTensor, y: NdarrayOrTensor, convention: Convention = "challenge") -> Tensor:
    """Count hits and misses of objects.

    A predicted object hits the true object that it overlaps most, if it holds half of it or more ("pinckaers": more
    than half). A true object is hit once at most. F1 = 2 tp / (2 tp + fp + fn).

    Args:
        y_pred: label maps (B, 1, H, W), whole numbers.
        y: true label maps of the same shape.
        convention: "challenge" or "pinckaers".

    Returns:
        (B, 3) float64: true objects hit, predicted objects that hit none, true objects missed.

    Raises:
        LightsegError: other shapes, or other numbers than integers from 0.
        ValueError: unknown convention.
    """
    look_up_option(convention, get_args(Convention))
    return _rows(y_pred, y, lambda pair: f1_row(pair, convention), 3)


def compute_object_dice(y_pred: NdarrayOrTensor, y: NdarrayOrTensor, convention: Convention = "challenge") -> Tensor:
    """Sum the Dice of objects with their partners, by area.

    The partner is the object of the other map that overlaps most; an object without one has Dice 0. "pinckaers": the
    background counts as a partner of objects that overlap any object.
    Object Dice = (sum over truth / true area + sum over prediction / predicted area) / 2.

    Args:
        y_pred: label maps (B, 1, H, W), whole numbers.
        y: true label maps of the same shape.
        convention: "challenge" or "pinckaers".

    Returns:
        (B, 4) float64: sum of area times Dice over true objects, their area, the same over predicted objects.

    Raises:
        LightsegError: other shapes, or other numbers than integers from 0.
        ValueError: unknown convention.
    """
    look_up_option(convention, get_args(Convention))
    return _rows(y_pred, y, lambda pair: dice_row(pair, convention), 4)


def compute_object_hausdorff(
    y_pred: NdarrayOrTensor,
    y: NdarrayOrTensor,
    convention: Convention = "challenge",
    spacing: float | Sequence[float] = 1.0,
) -> Tensor:
    """Sum the Hausdorff distance of objects to their partners, by area.

    Partners are those of `compute_object_dice`; the partner of an object that overlaps none is the nearest object of
    the other map by Hausdorff distance. Where that map has no object, the distance is infinite.
    Object Hausdorff = (sum over truth / true area + sum over prediction / predicted area) / 2.

    Args:
        y_pred: label maps (B, 1, H, W), whole numbers.
        y: true label maps of the same shape.
        convention: "challenge" or "pinckaers".
        spacing: size of a pixel, or its height and width; with 1, distances are in pixels.

    Returns:
        (B, 4) float64: sum of area in pixels times distance over true objects, their area, the same over predicted
        objects.

    Raises:
        LightsegError: other shapes, or other numbers than integers from 0.
        ValueError: unknown convention, or a spacing that is not positive.
    """
    look_up_option(convention, get_args(Convention))
    sides = pixel_sides(spacing)
    return _rows(y_pred, y, lambda pair: hausdorff_row(pair, convention, sides), 4)


def pixel_sides(spacing: float | Sequence[float]) -> NDArray[np.float64]:
    """Height and width of a pixel, (2,).

    Raises:
        ValueError: not one or two positive numbers.
    """
    given = np.asarray(spacing, dtype=np.float64)
    if given.shape not in ((), (2,)) or not (given > 0).all() or not np.isfinite(given).all():
        raise ValueError(f"spacing must be one or two positive numbers, got {spacing!r}")
    return np.broadcast_to(given, 2)


def _rows(
    y_pred: NdarrayOrTensor, y: NdarrayOrTensor, row: Callable[[ObjectPair], Sequence[float]], columns: int
) -> Tensor:
    """One row per image of the batch, (B, columns), on the device of the prediction."""
    predictions, truths = as_label_maps(y_pred), as_label_maps(y)
    if predictions.shape != truths.shape:
        raise LightsegError(f"y_pred is {predictions.shape}, y {truths.shape}: give both one shape")
    if predictions.ndim != 4 or predictions.shape[1] != 1:
        raise LightsegError(f"y_pred is {predictions.shape}: give label maps (batch, 1, height, width)")
    rows = [row(pair_objects(*maps)) for maps in zip(predictions[:, 0], truths[:, 0], strict=True)]
    device = y_pred.device if isinstance(y_pred, Tensor) else None
    return torch.tensor(rows, dtype=torch.float64, device=device).reshape(-1, columns)


def f1_values(rows: Tensor) -> Tensor:
    """F1 of each row of counts (n, 3); 1 where there are no objects on either side."""
    hits, false, missed = rows.unbind(dim=1)
    return torch.where(rows.sum(dim=1) > 0, 2 * hits / (2 * hits + false + missed), 1.0)


def dice_values(rows: Tensor) -> Tensor:
    """Object Dice of each row (n, 4); 1 where both sides are empty, 0 where one is."""
    return _mean_of_sides(rows, both_empty=1.0, one_empty=0.0)


def hausdorff_values(rows: Tensor) -> Tensor:
    """Object Hausdorff distance of each row (n, 4); 0 where both sides are empty, infinite where one is."""
    return _mean_of_sides(rows, both_empty=0.0, one_empty=torch.inf)


def _mean_of_sides(rows: Tensor, *, both_empty: float, one_empty: float) -> Tensor:
    truth, truth_area, prediction, prediction_area = rows.unbind(dim=1)
    values = (truth / truth_area + prediction / prediction_area) / 2
    values = torch.where((truth_area == 0) | (prediction_area == 0), one_empty, values)
    return torch.where((truth_area == 0) & (prediction_area == 0), both_empty, values)


def reduce_rows(rows: Tensor, values_of: Callable[[Tensor], Tensor], reduction: Reduction) -> Tensor:
    """One figure of all images, a scalar.

    Args:
        rows: (images, columns).
        values_of: gives the value of each row.
        reduction: "dataset", the value of the summed rows, or "mean", the mean of the rows' values.
    """
    return values_of(rows.sum(dim=0, keepdim=True) if reduction == "dataset" else rows).mean()


class _ObjectMetric(CumulativeIterationMetric):
    """Keeps one row per image and reduces rows."""

    def __init__(self, convention: Convention = "challenge", reduction: Reduction = "dataset") -> None:
        super().__init__()
        self.convention = look_up_option(convention, get_args(Convention))
        self.reduction = look_up_option(reduction, get_args(Reduction))

    @staticmethod
    @abstractmethod
    def values(rows: Tensor) -> Tensor:
        """The value of each row, (images,)."""

    def aggregate(self, reduction: Reduction | None = None) -> Tensor:
        """One figure of all images seen since the last reset, a scalar.

        Args:
            reduction: "dataset" or "mean"; None: as constructed.

        Raises:
            ValueError: no image was seen, or unknown reduction.
        """
        rows = self.get_buffer()
        if rows is None:
            raise ValueError("there is nothing to aggregate: call the metric on label maps first")
        return reduce_rows(rows, self.values, look_up_option(reduction or self.reduction, get_args(Reduction)))


class ObjectF1Metric(_ObjectMetric):
    """Object F1 of the GlaS challenge; see `compute_object_f1`.

    Call it on label maps, a batch (B, 1, H, W) or lists of (1, H, W), then `aggregate`.

    Args:
        convention: "challenge" or "pinckaers".
        reduction: "dataset", one count of the objects of all images, as the challenge defines it; or "mean", the mean
            of each image's F1.
    """

    values = staticmethod(f1_values)

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return compute_object_f1(y_pred, y, self.convention)


class ObjectDiceMetric(_ObjectMetric):
    """Object Dice of the GlaS challenge; see `compute_object_dice`.

    Call it on label maps, a batch (B, 1, H, W) or lists of (1, H, W), then `aggregate`.

    Args:
        convention: "challenge" or "pinckaers".
        reduction: "dataset", where an object weighs its share of the area of all objects of all images, as the
            challenge defines it; or "mean", the mean of each image's object Dice.
    """

    values = staticmethod(dice_values)

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return compute_object_dice(y_pred, y, self.convention)


class ObjectHausdorffMetric(_ObjectMetric):
    """Object Hausdorff distance of the GlaS challenge; see `compute_object_hausdorff`.

    Call it on label maps, a batch (B, 1, H, W) or lists of (1, H, W), then `aggregate`. One image with objects on one
    side only makes the figure infinite, whatever the reduction.

    Args:
        convention: "challenge" or "pinckaers".
        reduction: "dataset", where an object weighs its share of the area of all objects of all images, as the
            challenge defines it; or "mean", the mean of each image's object Hausdorff distance.
        spacing: size of a pixel, or its height and width; with 1, distances are in pixels.
    """

    def __init__(
        self,
        convention: Convention = "challenge",
        reduction: Reduction = "dataset",
        spacing: float | Sequence[float] = 1.0,
    ) -> None:
        super().__init__(convention, reduction)
        self.spacing = tuple(pixel_sides(spacing))

    values = staticmethod(hausdorff_values)

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return compute_object_hausdorff(y_pred, y, self.convention, self.spacing)
