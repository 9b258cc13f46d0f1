"""What the benchmarks of U-Node look at: weights and image, and their options on the command line."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from monai_lightseg.checkpoints import read_authors_file
from monai_lightseg.data import read_rgb
from monai_lightseg.errors import LightsegError
from monai_lightseg.networks import create_network

UNTRAINED = "untrained (seed 0)"
NOISE = "noise (seed 0)"


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which network and which image."""
    parser.add_argument(
        "--weights", type=Path, help="state dict of a U-Node, safetensors or torch.save; else untrained"
    )
    parser.add_argument(
        "--features", type=int, nargs="+", default=[8, 16, 32, 64, 128], help="channels per level, those of the weights"
    )
    parser.add_argument("--image", type=Path, help="resized to --size; else noise")
    parser.add_argument("--size", type=size_of, default=(128, 128), metavar="HxW")


def size_of(text: str) -> tuple[int, int]:
    """`176x256` -> (176, 256).

    Raises:
        argparse.ArgumentTypeError: not two whole numbers from 1.
    """
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text} is not HxW, such as 176x256")
    return int(height), int(width)


def network_of(name: str, features: Sequence[int], weights: Path | None) -> nn.Module:
    """The network in eval, with the weights in the file, or with seeded initial ones and two logits as in the paper.

    Raises:
        LightsegError: a file that cannot be read, or weights of another network.
    """
    torch.manual_seed(0)
    if weights is None:
        return create_network(name, features=features, out_channels=2).eval()
    # examples/train_on_glands.py saves a network inside another.
    state = {key.removeprefix("network."): tensor for key, tensor in read_authors_file(weights).items()}
    try:
        network = create_network(name, features=features, out_channels=len(state["decoder.head.bias"]))
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise LightsegError(
            f"{weights} holds no weights of {name} with features {features}; give those of its training (--features)"
        ) from error
    return network.eval()


def image_of(file: Path | None, size: tuple[int, int]) -> torch.Tensor:
    """The image in the file, resized, or seeded noise; (1, 3, *size), from 0 to 1."""
    if file is None:
        return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    # Pillow's bilinear filter averages where it shrinks.
    image = Image.fromarray(read_rgb(file)).resize(size[::-1], Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1) / np.float32(255))[None]
