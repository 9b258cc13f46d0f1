"""Gland metrics of a folder of predictions against a folder of true instance labels."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from monai.utils import look_up_option
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import read_labels
from monai_lightseg.errors import LightsegError
from monai_lightseg.inference import core_border_to_instances
from monai_lightseg.metrics import Convention, GlandScores, glas_part, score_glands
from monai_lightseg.workflows.prediction_files import check_one_size, matched_names

__all__ = ["evaluate_glands"]

Objects = Literal["core-border", "instances"]


def evaluate_glands(
    predictions: Path,
    labels: Path,
    *,
    objects: Objects,
    min_size: int = 500,
    convention: Convention = "challenge",
    progress: bool = True,
) -> GlandScores:
    """Score every PNG of instance labels in `labels` against the file of the same name in `predictions`.

    Args:
        predictions: folder of PNGs, read as instance labels are.
        labels: folder of true instance labels; each needs a prediction. Predictions without labels are an error too.
        objects: what predictions hold: "instances", or "core-border", the classes core (1) and border (2), which
            are turned into instances by `core_border_to_instances`.
        min_size: with "core-border", instances of fewer pixels are dropped.
        convention: "challenge" or "pinckaers", see docs/gland_metrics.md.
        progress: show a progress bar on stderr.

    Returns:
        The scores; by part where all files are named as in GlaS (train_N, testA_N, testB_N).

    Raises:
        LightsegError: a folder or a file is missing, unreadable or of another size, predictions hold other classes,
            or `labels` are classes with their instances in the folder beside it.
        ValueError: unknown kind of objects or convention.
    """
    look_up_option(objects, get_args(Objects))
    _refuse_labels_beside_instances(labels)
    names = matched_names(predictions, labels)

    def cases() -> Iterator[tuple[str, NDArray[np.int32], NDArray[np.int32]]]:
        for name in tqdm(names, desc="evaluate", unit="image", disable=not progress):
            predicted, true = read_labels(predictions / name), read_labels(labels / name)
            check_one_size(predictions / name, predicted, labels / name, true)
            if objects == "core-border":
                _check_classes(predictions / name, predicted)
                predicted = core_border_to_instances(predicted, min_size=min_size)
            yield _case_id(name), predicted, true

    return score_glands(cases(), part_of=_part_of(map(_case_id, names)), convention=convention)


def _refuse_labels_beside_instances(labels: Path) -> None:
    """Refuse the classes that `lightseg data convert` writes, which would be taken for two objects."""
    name = labels.absolute().name
    instances = labels.absolute().with_name(name.replace("labels", "instances"))
    if name in ("labelsTr", "labelsTs") and instances.is_dir():
        raise LightsegError(f"{labels} holds classes, not objects: give the folder beside it, {instances}")


def _check_classes(path: Path, predicted: NDArray[np.int32]) -> None:
    if predicted.max() > 2:
        raise LightsegError(
            f"{path} holds the value {predicted.max()}, the classes core and border only 0, 1 and 2: "
            "if it holds instances, give --objects instances"
        )


def _case_id(name: str) -> str:
    return name.removesuffix(".png")


def _part_of(case_ids: Iterable[str]) -> Callable[[str], str] | None:
    """`glas_part`, where it knows all ids."""
    try:
        for case_id in case_ids:
            glas_part(case_id)
    except LightsegError:
        return None
    return glas_part
