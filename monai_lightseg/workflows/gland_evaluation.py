"""Gland metrics of a folder of predictions against a folder of true instance labels."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from monai.utils import look_up_option
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import Protocol, check_test_ids, read_labels
from monai_lightseg.errors import LightsegError
from monai_lightseg.inference import core_border_to_instances
from monai_lightseg.metrics import Convention, GlandScores, glas_part, score_glands
from monai_lightseg.workflows.prediction_files import check_one_size, match_predictions

__all__ = ["evaluate_glands"]

Objects = Literal["core-border", "instances"]


def evaluate_glands(
    predictions: Path,
    labels: Path,
    *,
    objects: Objects,
    min_size: int = 500,
    convention: Convention = "challenge",
    protocol: Protocol | None = None,
    progress: bool = True,
) -> GlandScores:
    """Score all instance labels in `labels` against the prediction of the same case, see `match_predictions`.

    Args:
        predictions: folder of files that are read as instance labels are.
        labels: folder of true instance labels; each needs a prediction. Predictions without labels are an error too.
        objects: what predictions hold: "instances", or "core-border", the classes core (1) and border (2), which
            are turned into instances by `core_border_to_instances`.
        min_size: with "core-border", instances of fewer pixels are dropped.
        convention: "challenge" or "pinckaers", see docs/gland_metrics.md.
        protocol: the cases have to be those it tests on; None takes any.
        progress: show a progress bar on stderr.

    Returns:
        The scores; by part where all files are named as in GlaS (train_N, testA_N, testB_N).

    Raises:
        LightsegError: a folder or a file is missing, unreadable or of another size, predictions hold other classes,
            the cases are not those of the protocol, or `labels` are classes with their instances in the folder beside
            it.
        ValueError: unknown kind of objects or convention.
    """
    look_up_option(objects, get_args(Objects))
    _refuse_labels_beside_instances(labels)
    matches = match_predictions(predictions, labels)
    if protocol is not None:
        check_test_ids(protocol, [match.id for match in matches])

    def cases() -> Iterator[tuple[str, NDArray[np.int32], NDArray[np.int32]]]:
        for match in tqdm(matches, desc="evaluate", unit="image", disable=not progress):
            predicted, true = read_labels(match.prediction), read_labels(match.label)
            check_one_size(match.prediction, predicted, match.label, true)
            if objects == "core-border":
                _check_classes(match.prediction, predicted)
                predicted = core_border_to_instances(predicted, min_size=min_size)
            yield match.id, predicted, true

    return score_glands(cases(), part_of=_part_of(match.id for match in matches), convention=convention)


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


def _part_of(case_ids: Iterable[str]) -> Callable[[str], str] | None:
    """`glas_part`, where it knows all ids."""
    try:
        for case_id in case_ids:
            glas_part(case_id)
    except LightsegError:
        return None
    return glas_part
