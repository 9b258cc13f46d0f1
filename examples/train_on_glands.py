r"""Train a network on the colon glands of GlaS by the recipe of the U-Node paper, and score it as the challenge did.

    python examples/train_on_glands.py --data GLAS --out WORK
    python examples/train_on_glands.py --data GLAS --out WORK --reduced --network uresnet --shrink 2 \
        --features 8 16 32 64 128 --minutes 40

GLAS is the unpacked "Warwick QU Dataset (Released 2016_07_08)"; --reduced says that its images have been reduced by
512/775 already: distances are in pixels of these images. The recipe: images reduced by 512/775, augmented, cut to
352x512; two targets, the eroded glands and the glands, with binary cross-entropy on both; Adam 1e-3, batch 8, 600
epochs; ten of the training images validate, and the weights with the lowest validation loss are kept. Then tests A and
B are predicted with three flips, turned into glands, brought back to the size of the annotations and scored.

Not as in the paper: U-Node takes two steps of RK4 (--solver dopri5 for the paper's), and a batch of 8 goes through at
once, where the paper adds up the gradients of 8. --shrink 2 lets the network see images of half the size; its logits
are doubled, all else stays as it is. Everything is written below WORK; run the same line again after a cut-off, or with
more epochs, and it goes on where it was. The best weights are in WORK/best.safetensors.
Pinckaers & Litjens, 2019, arXiv 1910.10470.
"""

import argparse
import io
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file
from safetensors.torch import save as serialized
from scipy.ndimage import maximum_filter, minimum_filter
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, Sampler
from tqdm import tqdm

from monai_lightseg.atomic import write_bytes, write_text
from monai_lightseg.data import (
    GlandAugmentation,
    GlasCase,
    ReducedCase,
    centre_crop,
    gland_targets,
    glas_split,
    read_glas,
    reduce_image,
    reflect_pad,
)
from monai_lightseg.errors import LightsegError
from monai_lightseg.inference import predict_with_flips, probabilities_to_instances, resize_instances
from monai_lightseg.metrics import GLAND_METRICS, GlandScores, glas_part, score_glands
from monai_lightseg.networks.building import build_network
from monai_lightseg.workflows.finite_json import finite_json

SIZE = (352, 512)
BEST = "best.safetensors"
# What a training cannot go on with once another was chosen.
FIXED = ("network", "features", "solver", "steps", "shrink", "reduced", "batch", "learning_rate", "seed")
PICTURES_PER_PART = 4

Pair = tuple[NDArray[np.uint8], NDArray[np.int32]]


class Shrunk(nn.Module):
    """A network that sees the image smaller by a whole factor; its logits have the size of the image again."""

    def __init__(self, network: nn.Module, factor: int) -> None:
        super().__init__()
        self.network = network
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> logits (B, K, H, W)."""
        logits = self.network(functional.avg_pool2d(x, self.factor))
        return functional.interpolate(logits, size=x.shape[2:], mode="bilinear", align_corners=False)


class AugmentedGlands(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Images and labels, drawn anew in each epoch, as tensors; an index is the epoch and the number of the image."""

    def __init__(self, pairs: Sequence[Pair], seed: int) -> None:
        self.pairs = pairs
        self.augment = GlandAugmentation(SIZE)
        self.seed = seed

    def __getitem__(self, index: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (3, *SIZE) and targets (2, *SIZE)."""
        return as_tensors(*self.augment(*self.pairs[index[1]], np.random.default_rng((self.seed, *index))))


class Shuffled(Sampler[tuple[int, int]]):
    """Every image once, in an order that epoch and seed decide."""

    def __init__(self, images: int, seed: int) -> None:
        self.images = images
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Number of images."""
        return self.images

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Epoch and number of each image."""
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.images)
        return ((self.epoch, int(number)) for number in order)


def main() -> None:
    """Run as the command line says; mistakes in it end in one line."""
    try:
        train_and_score(read_arguments())
    except LightsegError as error:
        sys.exit(f"error: {error}")


def train_and_score(arguments: argparse.Namespace) -> None:
    """Train, or go on training, and score."""
    torch.manual_seed(arguments.seed)
    cases = {case.id: case for case in read_glas(arguments.data)}
    split = glas_split(list(cases.values()))
    chosen = {"solver": arguments.solver, "steps": arguments.steps} if arguments.network == "unode" else {}
    network = build_network(arguments.network, {"out_channels": 2, "features": arguments.features, **chosen})
    model = Shrunk(network, arguments.shrink).to(arguments.device)
    print(f"{arguments.network}: {sum(weights.numel() for weights in network.parameters()):,} parameters")
    train(
        model,
        [read_pair(cases[name], arguments.reduced) for name in split.train],
        [read_pair(cases[name], arguments.reduced) for name in split.val],
        arguments,
    )
    best = arguments.out / BEST
    if not best.exists():
        raise LightsegError(f"{best} was never written: the validation loss was never finite, or epochs is 0")
    network.load_state_dict(load_file(best, device=arguments.device))
    predicted = [predict(model, cases[name], arguments) for name in tqdm(split.test, "testing")]
    for convention in ("challenge", "pinckaers"):
        scores = score_glands(predicted, part_of=glas_part, convention=convention)
        write_text(arguments.out / f"scores_{convention}.json", finite_json(asdict(scores)))
        print_scores(convention, scores)


def read_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of GlaS")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--reduced", action="store_true", help="the images have been reduced already")
    parser.add_argument("--network", default="unode", help="unode, uresnet, unet_valid, unet_bilinear or ulite")
    parser.add_argument("--features", type=int, nargs="+", default=[16, 32, 64, 128, 256], help="channels per level")
    parser.add_argument("--solver", default="rk4", help="of unode: rk4, dopri5, ...")
    parser.add_argument("--steps", type=int, default=2, help="of unode with fixed steps")
    parser.add_argument("--shrink", type=int, default=1, help="factor by which the network sees the image smaller")
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="end training after so many; on CPU those of this process alone"
    )
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that augment; 0 for none besides this one")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def read_pair(case: GlasCase, reduced: bool) -> Pair:
    """Image (height, width, 3) and instance labels (height, width) at the paper's scale."""
    return (case if reduced else ReducedCase(case)).read_pair()


def as_tensors(image: NDArray[np.uint8], labels: NDArray[np.int32]) -> tuple[torch.Tensor, torch.Tensor]:
    """Image (3, height, width) from 0 to 1, and the two targets (2, height, width)."""
    return torch.from_numpy(image.transpose(2, 0, 1) / np.float32(255)), torch.from_numpy(gland_targets(labels))


def train(
    model: nn.Module, training: Sequence[Pair], validation: Sequence[Pair], arguments: argparse.Namespace
) -> None:
    """Train up to the epochs or minutes asked for; every epoch leaves a state to go on from."""
    optimizer = torch.optim.Adam(model.parameters(), lr=arguments.learning_rate)
    state_file = arguments.out / "state.pt"
    arguments.out.mkdir(parents=True, exist_ok=True)
    epoch, seconds, lowest = 0, 0.0, math.inf
    if state_file.exists():
        state = torch.load(state_file, weights_only=True, map_location=arguments.device)
        for name, given in state["arguments"].items():
            if getattr(arguments, name) != given:
                raise LightsegError(f"{state_file} was trained with {name} {given}: keep that, or give another --out")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        epoch, seconds, lowest = state["epoch"], state["seconds"], state["lowest"]
        print(f"going on after epoch {epoch}, {seconds / 60:.1f} minutes")
    padded = [as_tensors(reflect_pad(image, SIZE), reflect_pad(labels, SIZE)) for image, labels in validation]
    sampler = Shuffled(len(training), arguments.seed)
    # Workers live on, as starting one takes seconds on some systems.
    loader = DataLoader(
        AugmentedGlands(training, arguments.seed),
        batch_size=arguments.batch,
        sampler=sampler,
        num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    # Processor time is what a busy neighbour does not use up.
    clock = time.process_time if arguments.device == "cpu" else time.monotonic
    while epoch < arguments.epochs and seconds < 60 * arguments.minutes:
        start = clock()
        sampler.epoch = epoch
        model.train()
        losses = []
        for image, target in tqdm(loader, f"epoch {epoch + 1}", leave=False):
            loss = loss_of(model, image.to(arguments.device), target.to(arguments.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            pairs = ([tensor[None].to(arguments.device) for tensor in pair] for pair in padded)
            validated = float(np.mean([loss_of(model, *pair).item() for pair in pairs]))
        epoch, seconds = epoch + 1, seconds + clock() - start
        print(
            f"epoch {epoch}: loss {np.mean(losses):.4f}, validation {validated:.4f}, {seconds / 60:.1f} min", flush=True
        )
        if validated < lowest:
            lowest = validated
            write_bytes(arguments.out / BEST, serialized(model.network.state_dict()))
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        state |= {"epoch": epoch, "seconds": seconds, "lowest": lowest}
        save(state | {"arguments": {name: getattr(arguments, name) for name in FIXED}}, state_file)


def loss_of(model: nn.Module, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy, the mean over both targets."""
    return functional.binary_cross_entropy_with_logits(model(image), target)


def save(content: dict, path: Path) -> None:
    """Write tensors and numbers, so that a cut-off leaves the last whole file."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(path, buffer.getvalue())


@torch.no_grad()
def predict(
    model: nn.Module, case: GlasCase, arguments: argparse.Namespace
) -> tuple[str, NDArray[np.int32], NDArray[np.int32]]:
    """Id, predicted and true glands, as instance labels of one size; the first of each part leave a picture."""
    image, labels = case.read_pair()
    small = image if arguments.reduced else reduce_image(image)
    tensor = torch.from_numpy(reflect_pad(small, SIZE).transpose(2, 0, 1) / np.float32(255))[None]
    probabilities = predict_with_flips(model.eval(), tensor.to(arguments.device))[0].cpu().numpy()
    eroded, full = (centre_crop(of_target, small.shape[:2]) for of_target in probabilities)
    glands = resize_instances(probabilities_to_instances(eroded, full), labels.shape)
    folder = arguments.out / "instances"
    folder.mkdir(exist_ok=True)
    Image.fromarray(glands.astype(np.uint16)).save(folder / f"{case.id}.png")
    if int(case.id.split("_")[1]) <= PICTURES_PER_PART:
        Image.fromarray(with_outlines(image, labels, glands)).save(arguments.out / f"{case.id}.png")
    return case.id, glands, labels


def with_outlines(image: NDArray[np.uint8], true: NDArray[np.int32], predicted: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The image with true glands outlined in green and predicted ones in blue."""
    picture = image.copy()
    for labels, colour in ((true, (0, 160, 0)), (predicted, (0, 0, 255))):
        picture[maximum_filter(labels, 3) != minimum_filter(labels, 3)] = colour
    return picture


def print_scores(convention: str, scores: GlandScores) -> None:
    """One line for each part and for all of it."""
    for part, of_part in (*scores.parts.items(), ("both", scores.total)):
        for reduction in ("dataset", "per_image_mean"):
            values = ", ".join(f"{name} {getattr(of_part, reduction)[name]:.3f}" for name in GLAND_METRICS)
            print(f"{convention}, {part} ({of_part.images} images), {reduction}: {values}")


if __name__ == "__main__":
    main()
