"""Scores of folders of predicted masks against a folder of true ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import Protocol, check_test_ids, read_mask
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import SURFACE_TOLERANCE, BinaryScores, Comparison, compare_models, score_binary_masks
from monai_lightseg.workflows.prediction_files import Match, check_one_size, match_predictions

__all__ = ["Evaluated", "Evaluation", "evaluate_folders", "evaluate_models", "read_masks"]


@dataclass(frozen=True)
class Evaluated:
    """A model's predictions and their scores.

    Attributes:
        name: of the model, by the name of its folder.
        matches: its predictions with their truth.
        scores: of these.
    """

    name: str
    matches: tuple[Match, ...]
    scores: BinaryScores


@dataclass(frozen=True)
class Evaluation:
    """One model's scores, and how other models compare on the same images.

    Attributes:
        model: the model in question.
        others: models it is compared with.
        comparisons: of the Dice per image, one per other model.
        labels: folder of the truth.
        protocol: by which data set and split were chosen; None where none was named.
    """

    model: Evaluated
    others: tuple[Evaluated, ...]
    comparisons: tuple[Comparison, ...]
    labels: Path
    protocol: Protocol | None = None

    @property
    def models(self) -> tuple[Evaluated, ...]:
        """All models, the one in question first."""
        return (self.model, *self.others)

    @property
    def size_warning(self) -> str | None:
        """What to print where images were not scored at the size of the protocol; None where they were."""
        if self.protocol is None or self.protocol.image_size is None:
            return None
        height, width = self.protocol.image_size
        others = sum(sum(of.values()) != height * width for of in self.model.scores.counts.values())
        if not others:
            return None
        return (
            f"{others} of {len(self.model.matches)} masks are not {height} x {width} as in {self.protocol.name}: "
            "pooled scores weigh images by their pixels, so these do not compare with scores at that size"
        )


def evaluate_folders(
    predictions: Path, labels: Path, *, surface_tolerance: float = SURFACE_TOLERANCE, progress: bool = True
) -> BinaryScores:
    """Score every mask in `labels` against the prediction of the same case, see `match_predictions`.

    Args:
        predictions: folder of predicted masks, as nnU-Net or MONAI writes them.
        labels: folder of true masks; each needs a prediction. Predictions without a label are an error too.
        surface_tolerance: of surface Dice, in pixels.
        progress: show a progress bar on stderr.

    Raises:
        LightsegError: a folder or a mask is missing, unreadable or of another size.
    """
    evaluation = evaluate_models([predictions], labels, surface_tolerance=surface_tolerance, progress=progress)
    return evaluation.model.scores


def evaluate_models(
    predictions: Sequence[Path],
    labels: Path,
    *,
    protocol: Protocol | None = None,
    surface_tolerance: float = SURFACE_TOLERANCE,
    progress: bool = True,
) -> Evaluation:
    """Score the predictions of one or more models on the same cases; the first is compared with each of the others.

    Args:
        predictions: per model, a folder of predicted masks.
        labels: folder of true masks; each needs a prediction of every model.
        protocol: the cases have to be those it tests on; None takes any.
        surface_tolerance: of surface Dice, in pixels.
        progress: show a progress bar on stderr.

    Raises:
        LightsegError: a folder or a mask is missing, unreadable or of another size, or the cases are not those of the
            protocol; this is found before any mask is read.
    """
    matches = [match_predictions(folder, labels) for folder in predictions]
    if protocol is not None:
        check_test_ids(protocol, [match.id for match in matches[0]])
    model, *others = (
        Evaluated(name, tuple(of_model), _score(of_model, surface_tolerance, progress))
        for name, of_model in zip(_names(predictions), matches, strict=True)
    )
    comparisons = compare_models(model.scores, {other.name: other.scores for other in others}) if others else []
    return Evaluation(model, tuple(others), tuple(comparisons), labels, protocol)


def read_masks(match: Match) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The predicted and the true mask of a case, uint8 (height, width) of 0 and 1.

    Raises:
        LightsegError: one is unreadable, or their sizes differ.
    """
    predicted, true = read_mask(match.prediction), read_mask(match.label)
    check_one_size(match.prediction, predicted, match.label, true)
    return predicted, true


def _score(matches: Sequence[Match], surface_tolerance: float, progress: bool) -> BinaryScores:
    def masks() -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        for match in tqdm(matches, desc="evaluate", unit="image", disable=not progress):
            yield (match.id, *read_masks(match))

    return score_binary_masks(masks(), surface_tolerance=surface_tolerance)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with those of their parents before them as far as it takes to tell them apart."""
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise LightsegError(f"{', '.join(map(str, folders))}: the same folder is given twice; compare different ones")
    length = 1
    while len({path.parts[-length:] for path in resolved}) < len(resolved):
        length += 1
    return ["/".join(path.parts[-length:]) for path in resolved]
