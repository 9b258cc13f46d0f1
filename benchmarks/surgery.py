"""Every network as published, with each nmODE decoder in place of its own, and with parallel vision Mamba layers.

    python benchmarks/surgery.py                            # prints, and writes benchmarks/results/surgery.json
    python benchmarks/surgery.py --networks ulite malunet   # these alone

The rows of a network are timed in turns in this process: forwards of one image in eval mode. Percentages and ratios are
those to the network as published; only the ratios of times mean anything elsewhere. The weights are untrained: what an
operation costs in accuracy, this does not say.
"""

import argparse
import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from machine import clock_name, interleaved_seconds, machine_facts, machine_parser, results_file, set_up_machine
from monai.networks.nets import BasicUNet, FlexibleUNet
from torch import nn

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import create_network, list_networks, network_class, parallelize, replace_decoder
from monai_lightseg.profiling import count_flops, count_macs, count_macs_thop, count_parameters

PUBLISHED = "as published"
SOLVERS = ("euler", "heun", "multistep")
MONAI_HOSTS = {
    "MONAI BasicUNet": lambda: BasicUNet(spatial_dims=2, in_channels=3, out_channels=1),
    "MONAI FlexibleUNet b0": lambda: FlexibleUNet(in_channels=3, out_channels=1, backbone="efficientnet-b0"),
}
# An nmODE U-Net is U-Net with its decoder replaced: that is a row of U-Net.
OUR_HOSTS = [name for name in list_networks() if name != "nmode_unet"]


def main() -> None:
    """Build, measure, print the table, write the JSON."""
    parser = machine_parser(__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of the square image")
    hosts = [*OUR_HOSTS, *MONAI_HOSTS]
    parser.add_argument("--networks", nargs="*", choices=hosts, default=hosts, help="default all")
    arguments = parser.parse_args()
    set_up_machine(arguments.device, arguments.threads)

    facts = machine_facts(arguments.device)
    settings = {"threads": arguments.threads, "repeats": arguments.repeats, "clock": clock_name(arguments.device)}
    settings |= {"dtype": "float32", "batch": 1, "size": arguments.size}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))
    print(
        f"\n{'network':24}{'':18}{'parameters':>12}{'':>8}{'MACs, papers':>14}{'':>8}{'MACs, built':>13}{'':>8}"
        f"{'FLOPs':>10}{'time':>8}"
    )
    rows = {}
    for name in arguments.networks:
        rows[name] = measure(name, arguments)
        print_rows(name, rows[name])
    record = {"machine": facts, **settings, "networks": rows}
    write_text(arguments.out or results_file(__file__, arguments.device), json.dumps(record, indent=1) + "\n")


def measure(name: str, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Size and time of one network and of what surgery makes of it, by variant."""
    torch.manual_seed(0)
    variants = {variant: network.to(arguments.device).eval() for variant, network in variants_of(name).items()}
    x = torch.rand(1, 3, arguments.size, arguments.size, device=arguments.device)
    with torch.inference_mode():
        seconds = interleaved_seconds(
            {variant: partial(network, x) for variant, network in variants.items()},
            device=arguments.device,
            repeats=arguments.repeats,
            threads=arguments.threads,
        )
    rows = {}
    for variant, network in variants.items():
        network.to("meta")  # where counting computes nothing
        rows[variant] = {
            "parameters": count_parameters(network),
            "macs_thop": count_macs_thop(network, x.shape),
            "macs": count_macs(network, x.shape),
            "flops": count_flops(network, x.shape),
            "milliseconds": round(seconds[variant] * 1e3, 4),
            "time_ratio": round(seconds[variant] / seconds[PUBLISHED], 4),
        }
    return rows


def variants_of(name: str) -> dict[str, nn.Module]:
    """The network and what surgery makes of it."""
    network = MONAI_HOSTS[name]() if name in MONAI_HOSTS else create_network(name)
    variants = {PUBLISHED: network}
    variants |= {f"+ nmODE {solver}": replace_decoder(network, "nmode", solver=solver) for solver in SOLVERS}
    # UltraLight VM-UNet has no other block: it consists of such layers.
    if name in MONAI_HOSTS or network_class(name).base_block is not None:
        variants["+ PVM"] = parallelize(network)
    return variants


def print_rows(name: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """One line per variant."""
    published = rows[PUBLISHED]
    for variant, row in rows.items():
        line = f"{name if variant == PUBLISHED else '':24}{variant:18}{row['parameters']:12,}"
        line += change(row, published, "parameters")
        line += f"{row['macs_thop'] / 1e9:12.3f} G" + change(row, published, "macs_thop")
        line += f"{row['macs'] / 1e9:11.3f} G" + change(row, published, "macs")
        print(f"{line}{row['flops'] / 1e9:8.3f} G{row['time_ratio']:8.3f}", flush=True)


def change(row: Mapping[str, Any], published: Mapping[str, Any], key: str) -> str:
    """What the variant changes of the network as published, in percent."""
    return f"{100 * (row[key] / published[key] - 1):+7.1f}%"


if __name__ == "__main__":
    main()
