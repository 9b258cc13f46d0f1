"""Predicted pictures and the true ones they belong to."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from monai_lightseg.data import PICTURE_SUFFIXES, picture_stem
from monai_lightseg.errors import LightsegError

__all__ = ["Match", "check_one_size", "find_image", "match_predictions", "pictures_by_stem"]

# What data sets, MONAI's SaveImage and nnU-Net put behind the name of a case.
_ENDINGS = ("_segmentation", "_mask", "_lesion", "_anno", "_trans", "_seg", "_pred")
_CHANNEL = "_0000"


@dataclass(frozen=True)
class Match:
    """A case with its prediction and its truth, both files."""

    id: str
    prediction: Path
    label: Path


def match_predictions(predictions: Path, labels: Path, *, only_predicted: bool = False) -> list[Match]:
    """Match the files of two folders by case, sorted by id.

    Files of one stem belong together, and that stem is the id. What remains is matched without endings such as
    `_segmentation`, `_seg` or `_trans` and without nnU-Net's `_0000`. As MONAI saves them, files may also lie in a
    folder named after the case. Files that are no pictures are passed over.

    Args:
        predictions: folder of predictions.
        labels: folder of the truth.
        only_predicted: pass over labels without a prediction, as those of nnU-Net's training cases.

    Raises:
        LightsegError: a folder is missing or holds no pictures, two files are of one case, or one has no counterpart.
    """
    predicted, true = pictures_by_stem(predictions), pictures_by_stem(labels)
    pairs = {stem: (predicted[stem], true[stem]) for stem in predicted.keys() & true.keys()}
    rest = [_by_case(paths[stem] for stem in paths.keys() - pairs.keys()) for paths in (predicted, true)]
    pairs |= {case_id: (rest[0][case_id], rest[1][case_id]) for case_id in rest[0].keys() & rest[1].keys()}
    lacks = [(rest[0], rest[1], labels)] if only_predicted and pairs else []
    if not only_predicted:
        lacks = [(rest[1], rest[0], predictions), (rest[0], rest[1], labels)]
    for have, lack, folder in lacks:
        missing = sorted(have.keys() - lack.keys())
        if missing:
            raise LightsegError(
                f"{folder} has no file for {missing[0]}, which is {have[missing[0]]} ({len(missing)} of "
                f"{len(missing) + len(pairs)} are missing): give both folders the same cases"
            )
    if not pairs:
        raise LightsegError(f"{predictions} and {labels} have no case in common: give folders of the same cases")
    return [Match(case_id, *pairs[case_id]) for case_id in sorted(pairs)]


def pictures_by_stem(folder: Path, *, of: str = "masks") -> dict[str, Path]:
    """The pictures in a folder, or in folders of one case each below it, by their names without suffix.

    Args:
        folder: where to look.
        of: what they are, for messages.

    Raises:
        LightsegError: the folder is missing or holds no pictures, or two have one stem.
    """
    if not folder.is_dir():
        raise LightsegError(f"{folder} {'is a file' if folder.exists() else 'does not exist'}: pass a folder of {of}")
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob("*"), *folder.glob("*/*")]):
        if path.name.startswith(".") or not path.name.lower().endswith(PICTURE_SUFFIXES) or path.is_dir():
            continue
        stem = picture_stem(path)
        if path.parent != folder and not (stem == path.parent.name or stem.startswith(f"{path.parent.name}_")):
            continue
        if stem in found:
            raise LightsegError(f"{path} and {found[stem]} are of one case, {stem}: keep one")
        found[stem] = path
    if not found:
        raise LightsegError(f"{folder} holds no {of}: pass a folder of files named CASE.png")
    return found


def find_image(images: Mapping[str, Path], match: Match) -> Path | None:
    """The image of a case among those of `pictures_by_stem`; None where there is none."""
    stem = picture_stem(match.label)
    names = [f"{name}{channel}" for name in (stem, match.id, _case_of(stem)) for channel in ("", _CHANNEL)]
    return next((images[name] for name in names if name in images), None)


def check_one_size(prediction: Path, predicted: NDArray[Any], label: Path, true: NDArray[Any]) -> None:
    """Check that two pictures (height, width), read from these files, have one size.

    Raises:
        LightsegError: they do not.
    """
    if predicted.shape != true.shape:
        sizes = ["{} x {}".format(*pixels.shape) for pixels in (predicted, true)]
        turned = predicted.shape == true.shape[::-1]
        remedy = "was it saved with height and width swapped?" if turned else "give both one size"
        raise LightsegError(f"{prediction} is {sizes[0]} but {label} is {sizes[1]} (height x width): {remedy}")


def _by_case(paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(paths):
        case_id = _case_of(picture_stem(path))
        if case_id in found:
            raise LightsegError(f"{path} and {found[case_id]} are of one case, {case_id}: keep one")
        found[case_id] = path
    return found


def _case_of(stem: str) -> str:
    """The stem without its endings, and then without the number of a channel."""
    ending = next((ending for ending in _ENDINGS if stem.endswith(ending) and stem != ending), None)
    return stem.removesuffix(_CHANNEL) if ending is None else _case_of(stem.removesuffix(ending))
