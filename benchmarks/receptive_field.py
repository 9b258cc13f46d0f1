"""How far U-Node sees, by its solver, and U-ResNet beside it: the gradient of single logits with respect to the image.

    python benchmarks/receptive_field.py                    # prints, and writes benchmarks/results/receptive_field.json
    python benchmarks/receptive_field.py --picture far.png  # draws the gradients, too
    python benchmarks/receptive_field.py --weights unode.pt --uresnet-weights uresnet.pt --image a.png --size 176x256

A radius is that of the circle around the pixel of the logit that holds half, or nine tenths, of the absolute gradient.
Printed are the mean over the pixels, and the smallest and the largest. Instance norm lets every logit depend a little
on every pixel of the image, so that no field ends; the last row is what a field would give that is the same everywhere.
Nothing is timed.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from machine import machine_facts
from torch import nn
from unode_inputs import NOISE, UNTRAINED, add_input_options, image_of, network_of

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import count_evaluations, set_solver
from monai_lightseg.profiling import effective_receptive_field, receptive_radius

SOLVERS: dict[str, dict[str, Any]] = {
    "unode, rk4, 1 step": {"name": "rk4", "steps": 1},
    "unode, rk4, 2 steps": {"name": "rk4", "steps": 2},
    "unode, rk4, 8 steps": {"name": "rk4", "steps": 8},
    "unode, dopri5, 1e-03": {"name": "dopri5", "rtol": 1e-3, "atol": 1e-3},
}
EVERYWHERE = "the same everywhere"
SHARES = (0.5, 0.9)

Pixels = Sequence[tuple[int, int]]


def main() -> None:
    """Differentiate, print the table, write the JSON and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_input_options(parser)
    parser.add_argument(
        "--uresnet-weights", type=Path, help="state dict of a U-ResNet of these features; else untrained"
    )
    parser.add_argument("--pixels", type=pixel_of, nargs="+", metavar="ROW,COLUMN", help="default: five over the image")
    parser.add_argument("--channel", type=int, default=0, help="of the logits")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="PNG of the gradients")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "receptive_field.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    files = {"unode": arguments.weights, "uresnet": arguments.uresnet_weights}
    image = image_of(arguments.image, arguments.size)
    pixels = arguments.pixels or default_pixels(arguments.size)
    facts = machine_facts()
    settings: dict[str, Any] = {f"{name}_weights": file.name if file else UNTRAINED for name, file in files.items()}
    settings |= {"features": arguments.features, "image": arguments.image.name if arguments.image else NOISE}
    settings |= {"size": arguments.size, "dtype": "float32", "channel": arguments.channel, "pixels": pixels}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))
    print(f"\n{'':24}{'evaluations':>12}" + "".join(f"{f'radius of {share:.0%}':>24}" for share in SHARES))
    rows, fields = {}, {}
    networks = {name: network_of(name, arguments.features, file) for name, file in files.items()}
    for name, network, evaluations in variants_of(networks, image):
        fields[name] = effective_receptive_field(network, image, pixels, channel=arguments.channel)
        rows[name] = row_of(fields[name], pixels, evaluations)
        print_row(name, rows[name])
    rows[EVERYWHERE] = row_of(torch.ones(len(pixels), *arguments.size), pixels, None)
    print_row(EVERYWHERE, rows[EVERYWHERE])
    record = {"machine": facts, **settings, "networks": rows}
    write_text(arguments.out, json.dumps(record, indent=1) + "\n")
    if arguments.picture:
        draw(image, pixels, fields, rows, arguments.picture)


def pixel_of(text: str) -> tuple[int, int]:
    """`88,128` -> (88, 128).

    Raises:
        argparse.ArgumentTypeError: not two whole numbers.
    """
    row, _, column = text.partition(",")
    if not (row.isdecimal() and column.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text} is not ROW,COLUMN, such as 88,128")
    return int(row), int(column)


def default_pixels(size: tuple[int, int]) -> list[tuple[int, int]]:
    """The middle, and those halfway between it and the corners."""
    height, width = size
    quarters = [(row * height // 4, column * width // 4) for row in (1, 3) for column in (1, 3)]
    return [(height // 2, width // 2), *quarters]


def variants_of(networks: Mapping[str, nn.Module], image: torch.Tensor) -> Iterator[tuple[str, nn.Module, int | None]]:
    """Name, network and evaluations of a forward, for U-Node by each solver, then for U-ResNet, which has none."""
    for name, solver in SOLVERS.items():
        set_solver(networks["unode"], **solver)
        with torch.inference_mode(), count_evaluations(networks["unode"]) as evaluations:
            networks["unode"](image)
        yield name, networks["unode"], evaluations.total()
    yield "uresnet", networks["uresnet"], None


def row_of(fields: torch.Tensor, pixels: Pixels, evaluations: int | None) -> dict[str, Any]:
    """Evaluations, and the radius of each pixel by share."""
    radii = {f"{share:.0%}": receptive_radius(fields, pixels, share).tolist() for share in SHARES}
    return {"evaluations": evaluations, "radii": radii}


def print_row(name: str, row: Mapping[str, Any]) -> None:
    """Evaluations, and the radii over the pixels."""
    line = f"{name:24}{row['evaluations'] or '-':>12}"
    for radii in row["radii"].values():
        line += f"{f'{fmean(radii):.1f} ({min(radii):.1f} to {max(radii):.1f})':>24}"
    print(line, flush=True)


def draw(
    image: torch.Tensor,
    pixels: Pixels,
    fields: Mapping[str, torch.Tensor],
    rows: Mapping[str, Mapping[str, Any]],
    file: Path,
) -> None:
    """A row per pixel: the image, then the gradient of each network, with the circles of its radii."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle

    height, width = image.shape[2:]
    columns = len(fields) + 1
    figure = Figure(figsize=(2.4 * columns, 2.6 * len(pixels) * height / width + 0.6), layout="constrained")
    axes = figure.subplots(len(pixels), columns, squeeze=False)
    for i, (row, column) in enumerate(pixels):
        axes[i, 0].imshow(image[0].permute(1, 2, 0).numpy())
        axes[i, 0].set_ylabel(f"pixel {row}, {column}")
        for axis, (name, of_network) in zip(axes[i, 1:], fields.items(), strict=True):
            axis.imshow((of_network[i] / of_network[i].max()).numpy(), norm=LogNorm(1e-3, 1, clip=True), cmap="inferno")
            for style, radii in zip(("-", "--"), rows[name]["radii"].values(), strict=True):
                axis.add_patch(Circle((column, row), radii[i], fill=False, color="white", linestyle=style))
            axis.set_title(name if i == 0 else "")
        for axis in axes[i]:
            axis.plot(column, row, "c+")
            axis.set(xticks=[], yticks=[], xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    figure.suptitle("gradient / largest, 1e-3 to 1; circles hold 50 % and 90 %")
    figure.savefig(file, format="png", dpi=110)


if __name__ == "__main__":
    main()
