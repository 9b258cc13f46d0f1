"""Gland metrics of a test set: per image, per part of the set, and over all of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from monai.config import NdarrayOrTensor
from monai.utils import look_up_option
from torch import Tensor

from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics.gland import dice_values, f1_values, hausdorff_values, pixel_sides, reduce_rows
from monai_lightseg.metrics.gland_objects import Convention, dice_row, f1_row, hausdorff_row, pair_objects

__all__ = ["GLAND_METRICS", "GlandPartScores", "GlandScores", "glas_part", "score_glands"]

VALUES = {"object_f1": f1_values, "object_dice": dice_values, "object_hausdorff": hausdorff_values}

GLAND_METRICS = tuple(VALUES)


@dataclass(frozen=True)
class GlandPartScores:
    """Scores of some images; both dictionaries have the keys of GLAND_METRICS.

    Attributes:
        images: how many.
        dataset: over the objects of all these images, as the challenge defines it.
        per_image_mean: mean of the images' values, as papers often report.
        one_side_empty: images where only one of prediction and truth has objects. Their object Hausdorff distance is
            infinite, and so is that of the part.
    """

    images: int
    dataset: dict[str, float]
    per_image_mean: dict[str, float]
    one_side_empty: int


@dataclass(frozen=True)
class GlandScores:
    """Scores of a set of images.

    Attributes:
        total: of all images.
        parts: of each part, by its name, in the order of their first images.
        per_image: per case id, the value of each of GLAND_METRICS.
    """

    total: GlandPartScores
    parts: dict[str, GlandPartScores]
    per_image: dict[str, dict[str, float]]


def glas_part(case_id: str) -> str:
    """The part of GlaS that an image belongs to by its name: train, testA or testB.

    Raises:
        LightsegError: it belongs to none.
    """
    part = case_id.partition("_")[0]
    if part not in ("train", "testA", "testB"):
        raise LightsegError(f"{case_id} is no GlaS image: names begin with train_, testA_ or testB_")
    return part


def score_glands(
    cases: Iterable[tuple[str, NdarrayOrTensor, NdarrayOrTensor]],
    *,
    part_of: Callable[[str], str] | None = None,
    convention: Convention = "challenge",
    spacing: float | Sequence[float] = 1.0,
) -> GlandScores:
    """Score predicted label maps against the truth.

    Args:
        cases: (case id, prediction, truth) triples; label maps (H, W) of whole numbers, 0 for the background and
            another number for each object; sizes may vary between cases.
        part_of: gives the part of the set that a case id belongs to, for example `glas_part`. None: there are no parts.
        convention: "challenge" or "pinckaers", see docs/gland_metrics.md.
        spacing: size of a pixel, or its height and width; with 1, distances are in pixels.

    Raises:
        LightsegError: no cases, a case id twice, other numbers than integers from 0, or a prediction of another size
            than its truth.
        ValueError: unknown convention, or a spacing that is not positive.
    """
    look_up_option(convention, get_args(Convention))
    sides = pixel_sides(spacing)
    rows: dict[str, list[Sequence[float]]] = {name: [] for name in GLAND_METRICS}
    ids: dict[str, int] = {}
    members: dict[str, list[int]] = {}
    for case_id, prediction, truth in cases:
        if case_id in ids:
            raise LightsegError(f"{case_id} is there twice: give every case one prediction and one truth")
        if part_of is not None:
            members.setdefault(part_of(case_id), []).append(len(ids))
        try:
            pair = pair_objects(prediction, truth)
        except LightsegError as error:
            raise LightsegError(f"{case_id}: {error}") from None
        rows["object_f1"].append(f1_row(pair, convention))
        rows["object_dice"].append(dice_row(pair, convention))
        rows["object_hausdorff"].append(hausdorff_row(pair, convention, sides))
        ids[case_id] = len(ids)
    if not ids:
        raise LightsegError("there are no label maps to score")
    tables = {name: torch.tensor(of_metric, dtype=torch.float64) for name, of_metric in rows.items()}
    values = {name: VALUES[name](table) for name, table in tables.items()}
    return GlandScores(
        total=_part_scores(tables),
        parts={
            part: _part_scores({name: table[numbers] for name, table in tables.items()})
            for part, numbers in members.items()
        },
        per_image={case_id: {name: values[name][i].item() for name in GLAND_METRICS} for case_id, i in ids.items()},
    )


def _part_scores(tables: dict[str, Tensor]) -> GlandPartScores:
    hausdorff = hausdorff_values(tables["object_hausdorff"])
    return GlandPartScores(
        images=len(hausdorff),
        dataset={name: reduce_rows(table, VALUES[name], "dataset").item() for name, table in tables.items()},
        per_image_mean={name: reduce_rows(table, VALUES[name], "mean").item() for name, table in tables.items()},
        one_side_empty=int(hausdorff.isinf().sum()),
    )
