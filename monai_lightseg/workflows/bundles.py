"""The MONAI bundles that come with the package: found by name, without a network connection."""

import json
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lightseg.atomic import atomic_folder, write_bytes
from monai_lightseg.errors import LightsegError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = [
    "bundle_folder",
    "bundle_receipt",
    "bundles_folder",
    "checkpoints",
    "copy_bundle",
    "evaluation_command",
    "last_checkpoint",
    "list_bundles",
    "load_bundle",
]

_PACKAGE = Path(__file__).parents[1]
# What belongs to a bundle; where it lies, other things may have been written beside it.
_FILES = (
    "LICENSE",
    "configs/*",
    "docs/*",
    "models/model.pt",
    "models/model.safetensors",
    "models/*.json",
    "models/*.csv",
)


def bundles_folder() -> Path:
    """The folder that holds the bundles: `bundle_dir` of `monai.bundle.load`.

    A wheel has them inside the package, a checkout beside it.
    """
    installed = _PACKAGE / "bundles"
    return installed if installed.is_dir() else _PACKAGE.parent / "bundles"


def list_bundles() -> list[str]:
    """Names of the bundles, sorted."""
    return sorted(metadata.parents[1].name for metadata in bundles_folder().glob("*/configs/metadata.json"))


def bundle_folder(name: str) -> Path:
    """The folder of a bundle. Do not train in it: it may lie in site-packages; see `copy_bundle`.

    Raises:
        LightsegError: no such name; the message suggests the nearest one.
    """
    if name not in list_bundles():
        nearest = get_close_matches(name, list_bundles(), 1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are {', '.join(list_bundles())}"
        raise LightsegError(f"no bundle is called {name!r}; {hint}")
    return bundles_folder() / name


def bundle_receipt(name: str) -> dict[str, Any]:
    """How the weights of a bundle were trained and what they score, `models/receipt.json`; empty where there is none.

    Raises:
        LightsegError: no such name.
    """
    path = bundle_folder(name) / "models" / "receipt.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def load_bundle(name: str, device: "str | torch.device" = "cpu") -> "nn.Module":
    """Build the network of a bundle and load its weights.

    Unlike `monai.bundle.load` it runs no config, leaves the logging alone, and refuses weights that do not fit.

    Returns:
        The network on `device`, in evaluation mode.

    Raises:
        LightsegError: no such name, or the weights are missing, damaged or do not fit.
    """
    from monai_lightseg.checkpoints import load_network

    return load_network(bundle_folder(name) / "models" / "model.safetensors").to(device)


def evaluation_command(bundle: Path, *, data: Path, weights: Path, out: Path) -> list[str]:
    """The command that tests weights by a bundle's own `evaluate.json`; options of MONAI's `run` may follow.

    Args:
        bundle: folder of the bundle.
        data: what `--dataset_dir` is in training.
        weights: folder of `model.pt`.
        out: folder for `metrics.csv` and the masks, `predictions`.
    """
    configs = [str(bundle / "configs" / f"{name}.json") for name in ("train", "evaluate")]
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(configs)]
    places = {"--dataset_dir": data.absolute(), "--ckpt_dir": weights.absolute(), "--output_dir": out}
    return [*command, *(word for option, place in places.items() for word in (option, str(place)))]


def checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoints that a training left in `folder`, its `--ckpt_dir`, by epoch; none where there is no folder."""
    return {int(path.stem.split("=")[1]): path for path in folder.glob("checkpoint_epoch=*.pt")}


def last_checkpoint(folder: Path) -> tuple[int, Path]:
    """The latest epoch of the `checkpoints` in `folder`, and its file.

    Raises:
        LightsegError: there is none.
    """
    found = checkpoints(folder)
    if not found:
        raise LightsegError(f"{folder} has no checkpoint_epoch=N.pt; pass the --ckpt_dir of a training")
    return max(found.items())


def copy_bundle(name: str, folder: str | Path) -> Path:
    """Copy a bundle to a new folder, to train and run it there; it appears whole or not at all.

    Returns:
        The folder.

    Raises:
        LightsegError: no such name, or `folder` is already there or cannot be written.
    """
    source, out = bundle_folder(name), Path(folder)
    if out.exists():
        raise LightsegError(f"{out} exists; give a new folder")
    try:
        with atomic_folder(out) as copy:
            for path in sorted(path for pattern in _FILES for path in source.glob(pattern)):
                if path.is_file():
                    # Written anew, as the files of a shared installation are often read-only.
                    write_bytes(copy / path.relative_to(source), path.read_bytes())
    except OSError as error:
        raise LightsegError(f"{out} cannot be written ({error}): check the folder and the space on disk") from error
    return out
