"""What a training step on the CPU saves when the process keeps its memory: CPU time by default over CPU time kept.

    python benchmarks/kept_memory.py                  # prints, and writes benchmarks/results/kept_memory.json

The C library of Linux (glibc) gives large buffers back to the system after each use, and the system clears them anew
for the next one. Environment variables keep them. As those hold for a process from its start, each turn is a process of
its own, the two settings taking turns; a turn makes two steps to warm up and measures the next ones. CPU time is that
of the process and of the system for it.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from machine import machine_facts, machine_parser, results_file
from monai.losses import DiceCELoss

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import create_network
from monai_lightseg.profiling import interleaved_cpu_seconds

KEEP = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "100000000000"}
NETWORKS = {
    "ulite": {},
    "ultralight_vm_unet": {},
    "nmode_unet": {"features": [8, 16, 32, 64, 64]},
}
WARM_UP, STEPS = 2, 4


def main() -> None:
    """Measure each network, print, write the JSON."""
    parser = machine_parser(__doc__)
    parser.set_defaults(repeats=3)
    parser.add_argument("--size", type=int, default=256, help="side of the square images")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--one-turn", choices=NETWORKS, help="measure this network in this process, print the seconds")
    arguments = parser.parse_args()
    if arguments.device != "cpu" or not sys.platform.startswith("linux"):
        parser.error("this is about memory of the CPU under Linux")
    if arguments.one_turn:
        print(seconds_a_step(arguments.one_turn, arguments.batch, arguments.size, arguments.threads))
        return
    options = [f"--{name}={getattr(arguments, name)}" for name in ("threads", "size", "batch")]
    rows = {}
    for name in arguments.networks:
        turns = [(turn(name, options, {}), turn(name, options, KEEP)) for _ in range(arguments.repeats)]
        default, kept = (statistics.median(seconds) for seconds in zip(*turns, strict=True))
        rows[name] = {"arguments": NETWORKS[name], "default": default, "kept": kept, "ratio": default / kept}
        print(f"{name:<20} {default / kept:5.2f}x")
    record = {
        "machine": machine_facts(),
        "environment": KEEP,
        **{name: getattr(arguments, name) for name in ("threads", "repeats", "size", "batch")},
        "networks": rows,
    }
    write_text(arguments.out or results_file(__file__, "cpu"), json.dumps(record, indent=2) + "\n")


def turn(name: str, options: list[str], environment: dict[str, str]) -> float:
    """CPU seconds of a training step in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--one-turn", name, *options]
    inherited = {key: value for key, value in os.environ.items() if key not in KEEP}
    done = subprocess.run(command, env=inherited | environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def seconds_a_step(name: str, batch: int, size: int, threads: int) -> float:
    """CPU seconds of a training step in this process, the median of some."""
    torch.manual_seed(0)
    network = create_network(name, **NETWORKS[name]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    loss = DiceCELoss(sigmoid=True)
    x = torch.rand(batch, 3, size, size)
    label = (torch.rand(batch, 1, size, size) > 0.5).float()

    def step() -> None:
        optimizer.zero_grad()
        loss(network(x), label).backward()
        optimizer.step()

    seconds = interleaved_cpu_seconds({"step": step}, repeats=STEPS, warm_up=WARM_UP, threads=threads)
    return statistics.median(seconds["step"])


if __name__ == "__main__":
    main()
