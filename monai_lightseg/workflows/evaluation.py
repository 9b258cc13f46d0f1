"""Scores of folders of predicted masks against a folder of true ones."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from monai_lightseg.data import Protocol, check_test_ids, read_mask
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import (
    SURFACE_TOLERANCE,
    BinaryScores,
    ModelComparison,
    ScoreIntervals,
    compare_models,
    coverage_warning,
    score_binary_masks,
    score_intervals,
)
from monai_lightseg.workflows.prediction_files import Match, check_one_size, match_predictions

__all__ = ["Evaluation", "ScoredModel", "evaluate_folders", "evaluate_models", "read_masks"]

# A gain of pooled Dice by transposing that no network reaches by chance.
TRANSPOSED_GAIN = 0.02


@dataclass(frozen=True)
class ScoredModel:
    """A model's predictions and their scores.

    Attributes:
        name: of the model, by the name of its folder.
        matches: its predictions with their truth.
        scores: of these.
        transposed: pooled Dice that the transposed predictions would have, over square masks; NaN where there are none.
    """

    name: str
    matches: tuple[Match, ...]
    scores: BinaryScores
    transposed: float = math.nan

    @cached_property
    def intervals(self) -> ScoreIntervals:
        """Intervals of the scores."""
        return score_intervals(self.scores)


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model, and of others on the same images to compare it with.

    Attributes:
        models: the model in question, then the others.
        labels: folder of the truth.
        protocol: by which data set and split were chosen; None where none was named.
        part: what the cases are of the protocol: "test", "fold0", ..., or "all folds"; None without a protocol.
    """

    models: tuple[ScoredModel, ...]
    labels: Path
    protocol: Protocol | None = None
    part: str | None = None

    @cached_property
    def comparisons(self) -> list[ModelComparison]:
        """The first model against each other one, by Dice.

        Raises:
            LightsegError: fewer than two images have a Dice.
        """
        model, *others = self.models
        return compare_models(model.scores, {other.name: other.scores for other in others})

    @property
    def title(self) -> str:
        """How many images these are, and of what."""
        count = len(self.models[0].matches)
        of = "of no named protocol" if self.protocol is None else f"{self.part} of {self.protocol.name}"
        return f"{count} {'image' if count == 1 else 'images'}, {of}"

    @property
    def warnings(self) -> list[str]:
        """What bears on these figures: few images, another size than the protocol's."""
        scores = self.models[0].scores
        texts = [coverage_warning(len(scores.per_image) - scores.undefined["dice"])]
        size = None if self.protocol is None else self.protocol.image_size
        others = sum(of != size for of in scores.sizes.values())
        if self.protocol is not None and size is not None and others:
            texts.append(
                f"{others} of {len(scores.sizes)} masks are not {size[0]} x {size[1]} as in {self.protocol.name}: "
                "scores at another size do not compare"
            )
        texts += [
            f"the predictions of {model.name} fit far better transposed (pooled Dice {model.transposed:.3f} of square "
            "masks): they seem to be saved with height and width swapped"
            for model in self.models
            if model.transposed > model.scores.pooled["dice"] + TRANSPOSED_GAIN
        ]
        return [text for text in texts if text is not None]


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
    return evaluation.models[0].scores


def evaluate_models(
    predictions: Sequence[Path],
    labels: Path,
    *,
    protocol: Protocol | None = None,
    only_predicted: bool = False,
    surface_tolerance: float = SURFACE_TOLERANCE,
    progress: bool = True,
) -> Evaluation:
    """Score the predictions of one or more models on the same cases; the first is compared with each of the others.

    Args:
        predictions: per model, a folder of predicted masks; one or more.
        labels: folder of true masks; each needs a prediction of every model.
        protocol: the cases have to be those it tests on; None takes any.
        only_predicted: pass over labels without a prediction.
        surface_tolerance: of surface Dice, in pixels.
        progress: show a progress bar on stderr.

    Raises:
        LightsegError: a folder or a mask is missing, unreadable or of another size, models have other cases, or the
            cases are not those of the protocol; all but what is in the masks is found before any is read.
        ValueError: no predictions, or a tolerance that is negative or not finite.
    """
    if not predictions:
        raise ValueError("predictions is empty: give a folder per model")
    names = _names(predictions)
    matches = [match_predictions(folder, labels, only_predicted=only_predicted) for folder in predictions]
    ids = [[match.id for match in of_model] for of_model in matches]
    for name, of_model in zip(names, ids, strict=True):
        if of_model != ids[0]:
            raise LightsegError(f"{name} and {names[0]} are of other cases: compare models on the same ones")
    part = None if protocol is None else check_test_ids(protocol, ids[0])
    models = tuple(
        _scored(name, of_model, surface_tolerance, progress) for name, of_model in zip(names, matches, strict=True)
    )
    return Evaluation(models, labels, protocol, part)


def read_masks(match: Match) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The predicted and the true mask of a case, uint8 (height, width) of 0 and 1.

    Raises:
        LightsegError: one is unreadable, or their sizes differ.
    """
    predicted, true = read_mask(match.prediction), read_mask(match.label)
    check_one_size(match.prediction, predicted, match.label, true)
    return predicted, true


def _scored(name: str, matches: Sequence[Match], surface_tolerance: float, progress: bool) -> ScoredModel:
    turned = np.zeros(2, np.int64)  # of transposed square predictions: pixels in both masks, in one and in the other

    def masks() -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
        for match in tqdm(matches, desc="evaluate", unit="image", disable=not progress):
            predicted, true = read_masks(match)
            if predicted.shape[0] == predicted.shape[1]:
                turned[:] += [
                    np.count_nonzero(predicted.T & true),
                    np.count_nonzero(predicted) + np.count_nonzero(true),
                ]
            yield match.id, predicted, true

    scores = score_binary_masks(masks(), surface_tolerance=surface_tolerance)
    both, either = turned.tolist()
    return ScoredModel(name, tuple(matches), scores, 2 * both / either if either else math.nan)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, with those of their parents before them as far as it takes to tell them apart."""
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise LightsegError(f"{', '.join(map(str, folders))}: the same folder is given twice; compare different ones")
    length = 1
    while len({path.parts[-length:] for path in resolved}) < len(resolved):
        length += 1
    return ["/".join(path.parts[-length:]) for path in resolved]
