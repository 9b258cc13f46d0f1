"""UltraLight VM-UNet with its scan computed in several ways, and the other networks, side by side in one process.

    python benchmarks/networks.py                      # prints, and writes benchmarks/results/networks.json
    python benchmarks/networks.py --train --compile    # training steps, and UltraLight VM-UNet under torch.compile, too
    pip install mambapy                                # optional: the rows of its parallel scan

"4 calls" runs the branches of each parallel Mamba layer one after another, as the released network does, "batched" as
one batch, as ours does. All variants of UltraLight VM-UNet must agree before anything is timed. Inference is the
forward in eval mode; training the forward in train mode, a mean square and its gradients. Times are medians of
interleaved calls; on the CPU only their ratios mean anything elsewhere. Parameters and operations are those of one
image.
"""

import argparse
import copy
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from machine import (
    clock_name,
    first_call_cpu_seconds,
    fresh_compiler,
    interleaved_seconds,
    machine_facts,
    machine_parser,
    results_file,
    set_up_machine,
)
from monai.networks.nets import BasicUNet, UNet
from reference_scans import HAS_MAMBAPY, LOOP, PSCAN
from torch import nn

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import create_network, list_networks
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.ops import ScanBackend, scan_backend
from monai_lightseg.profiling import count_flops, count_macs_thop, count_parameters

OURS = "ultralight_vm_unet"
COMPILED = f"{OURS}, compiled"
TOLERANCE = 1e-5
NAME_WIDTH = 46


@dataclass(frozen=True)
class Contender:
    """One row of the table: what is counted and switched between modes, and what is timed."""

    network: nn.Module
    forward: Callable[[torch.Tensor], torch.Tensor]


class OneByOnePVM(LightsegPVM):
    """The layer as released: its branches go through Mamba one after another."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, in_channels, *spatial) -> (B, out_channels, *spatial)."""
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        chunks = [self.mamba(chunk) + self.skip_scale * chunk for chunk in tokens.chunk(self.branches, dim=-1)]
        tokens = self.proj(self.norm(torch.cat(chunks, dim=-1)))
        return tokens.transpose(1, 2).unflatten(2, x.shape[2:])


def main() -> None:
    """Check, measure, print the tables, write the JSON."""
    parser = machine_parser(__doc__)
    parser.add_argument("--compile", action="store_true", help="add the variants under torch.compile")
    parser.add_argument("--size", type=int, default=256, help="side of the square images")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument(
        "--train", action="store_true", help="measure training steps too: the loop takes seconds for one"
    )
    peers = [name for name in list_networks() if name != OURS]
    parser.add_argument("--networks", nargs="*", choices=peers, default=peers, help=f"those beside {OURS}; default all")
    arguments = parser.parse_args()
    set_up_machine(arguments.device, arguments.threads)
    if not HAS_MAMBAPY:
        print("mambapy is not installed (pip install mambapy): its rows are left out")

    facts = machine_facts(arguments.device)
    settings = {"threads": arguments.threads, "repeats": arguments.repeats, "clock": clock_name(arguments.device)}
    settings |= {"dtype": "float32", "batch": arguments.batch, "size": arguments.size}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))
    with fresh_compiler() if arguments.compile else nullcontext():
        rows = measure(arguments)
    print_table(rows, absolute=arguments.device == "cuda")
    record = {"machine": facts, **settings, "networks": rows}
    write_text(arguments.out or results_file(__file__, arguments.device), json.dumps(record, indent=1) + "\n")


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Size, compilation and times of every network, by name."""
    torch.manual_seed(0)
    x = torch.rand(arguments.batch, 3, arguments.size, arguments.size, device=arguments.device)
    variants = ultralight_variants(ultralight_network().to(x.device), arguments.compile)
    contenders = variants | other_networks(arguments.networks, x.device)
    rows: dict[str, dict[str, Any]] = {
        name: {
            "parameters": count_parameters(contender.network),
            "macs_thop": count_macs_thop(contender.network, x[:1].shape),
            "flops": count_flops(contender.network, x[:1].shape),
        }
        for name, contender in contenders.items()
    }
    for mode, step in (("inference", infer), ("training", train)) if arguments.train else (("inference", infer),):
        calls = {name: partial(step, contender, x) for name, contender in contenders.items()}
        for contender in contenders.values():
            contender.network.train(mode == "training")
        compile_seconds = {name: first_call_cpu_seconds(calls[name]) for name in calls if name == COMPILED}
        if mode == "inference":
            check_agreement({name: calls[name]() for name in variants})
        seconds = interleaved_seconds(
            calls, device=arguments.device, repeats=arguments.repeats, threads=arguments.threads
        )
        for name in calls:
            rows[name][mode] = {
                "milliseconds": round(seconds[name] * 1e3, 4),
                "ratio_to_ours": round(seconds[name] / seconds[OURS], 4),
                "compile_cpu_seconds": round(compile_seconds[name], 2) if name in compile_seconds else None,
            }
    return rows


def ultralight_network() -> nn.Module:
    """UltraLight VM-UNet with weights so large that a wrong scan shows in the output; at first it hardly reaches it."""
    network = create_network(OURS)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight, gain=3)
    return network


def ultralight_variants(network: nn.Module, compiled: bool) -> dict[str, Contender]:
    """UltraLight VM-UNet with the same weights, its scan and branches computed in every way there is."""
    variants = {OURS: Contender(network, network)}
    if compiled:
        other = copy.deepcopy(network)
        variants[COMPILED] = Contender(other, torch.compile(other, dynamic=False))
    for backend in (LOOP, PSCAN) if HAS_MAMBAPY else (LOOP,):
        for branches in ("4 calls", "batched"):
            other = copy.deepcopy(network)
            if branches == "4 calls":
                _run_branches_one_by_one(other)
            variants[f"{OURS}, {backend.name}, {branches}"] = Contender(other, partial(on_backend, backend, other))
    return variants


def _run_branches_one_by_one(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, LightsegPVM):
            module.__class__ = OneByOnePVM


def on_backend(backend: ScanBackend, network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The output, with the scans computed by a given back end."""
    with scan_backend(backend):
        return network(x)


def other_networks(names: Iterable[str], device: torch.device) -> dict[str, Contender]:
    """Registered networks at their defaults, and two of MONAI that everybody knows."""
    networks = {name: create_network(name) for name in names}
    io_channels = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1}
    networks["MONAI BasicUNet"] = BasicUNet(**io_channels)
    networks["MONAI UNet 16..256"] = UNet(**io_channels, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2))
    return {name: Contender(network.to(device), network) for name, network in networks.items()}


def infer(contender: Contender, x: torch.Tensor) -> torch.Tensor:
    """The logits."""
    with torch.inference_mode():
        return contender.forward(x)


def train(contender: Contender, x: torch.Tensor) -> None:
    """Forward and backward of one step, without the optimiser."""
    contender.network.zero_grad()
    contender.forward(x).square().mean().backward()


def check_agreement(outputs: Mapping[str, torch.Tensor]) -> None:
    """Stop where a variant computes something else.

    Raises:
        RuntimeError: an output differs from that of ours by more than TOLERANCE of its largest value.
    """
    ours = outputs[OURS]
    for name, output in outputs.items():
        error = float((output - ours).abs().max() / ours.abs().max())
        if not error <= TOLERANCE:
            raise RuntimeError(f"{name} differs from {OURS} by {error:.1e} of the largest output")


def print_table(rows: Mapping[str, Mapping[str, Any]], absolute: bool) -> None:
    """Sizes, ratios of each mode, absolute times where they mean something, compilation."""
    modes = [mode for mode in ("inference", "training") if mode in rows[OURS]]
    heads = ("time/ours", "compile, s") + (("ms",) if absolute else ())
    keys = ("ratio_to_ours", "compile_cpu_seconds") + (("milliseconds",) if absolute else ())
    sizes = f"{'parameters':>12}{'MACs (papers)':>16}{'FLOPs':>12}"
    print(f"\n{'':{len(sizes) + NAME_WIDTH}}" + "".join(f"{mode:>{12 * len(keys)}}" for mode in modes))
    print(f"{'network':{NAME_WIDTH}}{sizes}" + "".join(f"{head:>12}" for head in heads) * len(modes))
    for name, row in rows.items():
        values = [row[mode][key] for mode in modes for key in keys]
        print(
            f"{name:{NAME_WIDTH}}{row['parameters']:12,}{row['macs_thop'] / 1e9:14.3f} G{row['flops'] / 1e9:10.3f} G"
            + "".join("           -" if value is None else f"{value:12.3f}" for value in values)
        )


if __name__ == "__main__":
    main()
