"""U-Net against the same encoder with each nmODE decoder: parameters, operations, latency, side by side in one process.

    python benchmarks/decoders.py            # prints, and writes benchmarks/results/decoders.json

Latency is the median process CPU time of interleaved forwards in eval mode; only the ratios mean anything elsewhere.
"""

import argparse
import json
from pathlib import Path

import torch
from machine import interleaved_seconds, machine_facts

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import create_network
from monai_lightseg.profiling import count_macs, count_macs_thop, count_parameters

SOLVERS = ("euler", "heun", "multistep")


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="side of the square input")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decoders.json")
    arguments = parser.parse_args()

    input_size = (1, 3, arguments.size, arguments.size)
    networks = {"unet_bilinear": create_network("unet_bilinear").eval()}
    networks |= {f"nmode_unet {solver}": create_network("nmode_unet", solver=solver).eval() for solver in SOLVERS}
    x = torch.zeros(input_size)
    with torch.inference_mode():
        calls = {name: (lambda network=network: network(x)) for name, network in networks.items()}
        seconds = interleaved_seconds(calls, device="cpu", repeats=arguments.repeats, threads=arguments.threads)

    rows = {}
    for name, network in networks.items():
        rows[name] = {
            "parameters": count_parameters(network),
            "macs_thop": count_macs_thop(network, input_size),
            "macs": count_macs(network, input_size),
            "latency_ratio": round(seconds[name] / seconds["unet_bilinear"], 4),
            "cpu_milliseconds": round(seconds[name] * 1e3, 2),
        }
    print(f"input {input_size}, float32, threads {arguments.threads}, median of {arguments.repeats}")
    print(f"{'network':22}{'parameters':>12}{'MACs (papers)':>15}{'MACs (built)':>14}{'latency ratio':>15}")
    for name, row in rows.items():
        print(
            f"{name:22}{row['parameters']:12,}{row['macs_thop'] / 1e9:13.2f} G{row['macs'] / 1e9:12.2f} G"
            f"{row['latency_ratio']:15.3f}"
        )
    settings = {"input": input_size, "dtype": "float32", "threads": arguments.threads, "repeats": arguments.repeats}
    write_text(arguments.out, json.dumps({"machine": machine_facts(), **settings, "networks": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
