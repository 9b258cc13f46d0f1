"""Gland metrics of a folder of predictions against a folder of true instance labels."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import read_labels
from monai_lightseg.inference import border_core_to_instances
from monai_lightseg.metrics import GlandScores, glas_part, score_glands
from monai_lightseg.metrics.gland_objects import Convention
from monai_lightseg.workflows.prediction_files import check_one_size, matched_names

__all__ = ["evaluate_glands"]

_GLAS_PARTS = ("train_", "testA_", "testB_")


def evaluate_glands(
    predictions: Path,
    labels: Path,
    *,
    min_size: int | None = None,
    convention: Convention = "challenge",
    progress: bool = True,
) -> GlandScores:
    """Score every PNG of instance labels in `labels` against the file of the same name in `predictions`.

    Args:
        predictions: folder of instance labels, or of the classes core (1) and border (2) where `min_size` is given.
        labels: folder of true instance labels; each needs a prediction. Predictions without labels are an error too.
        min_size: turn classes into instances (see `border_core_to_instances`), those of fewer pixels dropped.
        convention: "challenge" or "pinckaers", see docs/gland_metrics.md.
        progress: show a progress bar on stderr.

    Returns:
        The scores; by part where all files are named as in GlaS (train_N, testA_N, testB_N).

    Raises:
        LightsegError: a folder or a file is missing, unreadable or of another size.
        ValueError: unknown convention.
    """
    names = matched_names(predictions, labels)

    def cases() -> Iterator[tuple[str, NDArray[np.int32], NDArray[np.int32]]]:
        for name in tqdm(names, desc="evaluate", unit="image", disable=not progress):
            predicted, true = read_labels(predictions / name), read_labels(labels / name)
            check_one_size(predictions / name, predicted, labels / name, true)
            if min_size is not None:
                predicted = border_core_to_instances(predicted, min_size=min_size)
            yield name.removesuffix(".png"), predicted, true

    part_of = glas_part if all(name.startswith(_GLAS_PARTS) for name in names) else None
    return score_glands(cases(), part_of=part_of, convention=convention)
