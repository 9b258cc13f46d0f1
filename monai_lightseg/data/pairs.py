"""Which mask belongs to which image, by file name."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import Path

from monai_lightseg.data.cases import FileCase
from monai_lightseg.data.images import picture_stem
from monai_lightseg.data.listing import first_few
from monai_lightseg.data.medical_images import file_suffix
from monai_lightseg.errors import LightsegError

__all__ = ["list_files", "pair_files"]


def list_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """List the files of a folder that end in one of `suffixes`, in any case; others and hidden ones are passed over.

    Returns:
        The files, sorted.

    Raises:
        LightsegError: what has such a name is a folder, a link to nothing or the like; one line each, the first 5.
    """
    paths = sorted(path for path in folder.iterdir() if file_suffix(path) in suffixes and not path.name.startswith("."))
    no_files = [f"{path} is not a file; remove or rename it" for path in paths if not path.is_file()]
    if no_files:
        raise LightsegError("\n".join(first_few(no_files)))
    return paths


def pair_files(images: Iterable[Path], masks: Iterable[Path], mask_suffixes: Collection[str]) -> list[FileCase]:
    """Pair files by stem: a mask has the stem of its image, or that stem and one of `mask_suffixes`.

    The image's stem is the id of the case. A mask whose own stem is an image's stem belongs to that image, whatever
    it ends in. Ids that differ only in capitals are refused: on many disks their files would be one.

    Returns:
        One case per image, sorted by id.

    Raises:
        LightsegError: an image without a mask, a mask without an image, or two files for one id; one line per file,
            the first 5 of each kind.
    """
    images_by_id = _grouped((picture_stem(path), path) for path in images)
    masks_by_id = _grouped((_image_stem(picture_stem(path), images_by_id, mask_suffixes), path) for path in masks)
    ids_without_case = _grouped((key.casefold(), paths[0]) for key, paths in images_by_id.items())
    problems = [
        *first_few(_unpaired(images_by_id, masks_by_id, "has no mask; add one or remove the image")),
        *first_few(_unpaired(masks_by_id, images_by_id, "has no image; add one or remove the mask")),
        *first_few(_duplicates(images_by_id, "has the same id as {first}; keep one")),
        *first_few(_duplicates(masks_by_id, "has the same id as {first}; keep one")),
        *first_few(_duplicates(ids_without_case, "differs from {first} only in capitals; rename one")),
    ]
    if problems:
        raise LightsegError("\n".join(problems))
    return [FileCase(key, images_by_id[key][0], masks_by_id[key][0]) for key in sorted(images_by_id)]


def _grouped(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[Path]]:
    groups: dict[str, list[Path]] = defaultdict(list)
    for key, path in sorted(pairs):
        groups[key].append(path)
    return groups


def _image_stem(stem: str, image_ids: Collection[str], suffixes: Collection[str]) -> str:
    if stem in image_ids:
        return stem
    matches = (stem.removesuffix(suffix) for suffix in suffixes if stem.endswith(suffix))
    return next((match for match in matches if match in image_ids), stem)


def _unpaired(these: dict[str, list[Path]], those: dict[str, list[Path]], problem: str) -> list[str]:
    return [f"{these[key][0]} {problem}" for key in sorted(these.keys() - those.keys())]


def _duplicates(groups: dict[str, list[Path]], problem: str) -> list[str]:
    repeated = ((path, paths[0]) for _, paths in sorted(groups.items()) for path in paths[1:])
    return [f"{path} {problem.format(first=first.name)}" for path, first in repeated]
