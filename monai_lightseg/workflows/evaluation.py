"""Scores of a folder of predicted masks against a folder of true ones."""

from pathlib import Path

from tqdm import tqdm

from monai_lightseg.data import read_mask
from monai_lightseg.errors import LightsegError
from monai_lightseg.metrics import BinaryScores, score_binary_masks

__all__ = ["evaluate_folders"]


def evaluate_folders(predictions: Path, labels: Path, *, progress: bool = True) -> BinaryScores:
    """Score every PNG mask in `labels` against the file of the same name in `predictions`.

    Args:
        predictions: folder of predicted masks, 0 and 1 (or 0 and 255).
        labels: folder of true masks; each needs a prediction. Predictions without a label are an error too.
        progress: show a progress bar on stderr.

    Raises:
        LightsegError: a folder or a mask is missing, unreadable or of another size.
    """
    names = {folder: {path.name for path in folder.glob("*.png")} for folder in (predictions, labels)}
    for folder, found in names.items():
        if not found:
            raise LightsegError(f"{folder} holds no PNG masks")
    for have, lack in ((labels, predictions), (predictions, labels)):
        missing = sorted(names[have] - names[lack])
        if missing:
            raise LightsegError(f"{lack / missing[0]} is missing ({len(missing)} of {len(names[have])} in {have})")
    ordered = tqdm(sorted(names[labels]), desc="evaluate", unit="image", disable=not progress)
    return score_binary_masks(
        (name.removesuffix(".png"), read_mask(predictions / name), read_mask(labels / name)) for name in ordered
    )
