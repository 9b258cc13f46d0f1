"""The selective scan against the other ways to compute it in torch, side by side in one process.

    python benchmarks/scan.py                # prints, and writes benchmarks/results/scan.json
    python benchmarks/scan.py --compile      # the variants under torch.compile too; minutes of compilation
    pip install mambapy                      # optional: the row of its parallel scan

A shape is (batch, length, channels). Forward runs without gradients; training is the forward and the gradients of all
inputs of a mean square. Softplus, its bias, D and the gate z are on. Times are medians of interleaved calls; on the CPU
only their ratios mean anything elsewhere. Errors are the largest differences from a loop in float64, over its largest
value.
"""

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
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
from reference_scans import HAS_MAMBAPY, Scan, associative_scan, loop_scan, pscan_scan, unbound_loop_scan

from monai_lightseg.atomic import write_text
from monai_lightseg.ops import list_scan_backends, scan_backend, selective_scan

SHAPES = ((4, 1024, 12), (4, 256, 16), (4, 64, 32), (32, 1024, 12))
STATES = 16
# From this many states on, one training step of the loop takes seconds: its backward is quadratic in the length.
LONG_LOOP_STATES = 2**20
LOOP = "reference loop"
OURS = "selective_scan, torch"
INPUTS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")

Tensors = Sequence[torch.Tensor]
Call = Callable[[Scan, Tensors], Tensors]


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = machine_parser(__doc__)
    parser.add_argument("--compile", action="store_true", help="add the variants under torch.compile")
    parser.add_argument("--shapes", type=shape_of, nargs="+", default=SHAPES, metavar="BATCH,LENGTH,CHANNELS")
    parser.add_argument("--long-loops", action="store_true", help="train the reference loop where it takes seconds too")
    arguments = parser.parse_args()
    set_up_machine(arguments.device, arguments.threads)
    if not HAS_MAMBAPY:
        print("mambapy is not installed (pip install mambapy): its row is left out")

    facts = machine_facts(arguments.device)
    settings = {"threads": arguments.threads, "repeats": arguments.repeats, "clock": clock_name(arguments.device)}
    settings |= {"dtype": "float32", "d_state": STATES}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))
    scans, tables = eager_scans(arguments.device), []
    with fresh_compiler() if arguments.compile else nullcontext():
        for shape in arguments.shapes:
            rows = measure(scans, shape, arguments)
            print_table(shape, rows, absolute=arguments.device == "cuda")
            tables.append({"shape": shape, "scans": rows})
    record = {"machine": facts, **settings, "shapes": tables}
    write_text(arguments.out or results_file(__file__, arguments.device), json.dumps(record, indent=1) + "\n")


def shape_of(text: str) -> tuple[int, ...]:
    """`4,1024,12` -> (4, 1024, 12)."""
    shape = tuple(int(number) for number in text.split(","))
    if len(shape) != 3 or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"a shape is three numbers of 1 or more, got {text!r}")
    return shape


def measure(
    eager: Mapping[str, Scan], shape: tuple[int, ...], arguments: argparse.Namespace
) -> dict[str, dict[str, Any]]:
    """Compilation, errors and times of every scan at one shape, by name."""
    compiled = compiled_scans() if arguments.compile else {}
    scans = {**eager, **compiled}
    rows: dict[str, dict[str, Any]] = {name: {} for name in scans}
    inputs = scan_inputs(shape, arguments.device)
    exact_inputs = [tensor.detach().double().requires_grad_() for tensor in inputs]
    for mode, call in (("forward", forward), ("training", training)):
        names = [name for name in scans if mode == "forward" or name != LOOP or trains_loop(shape, arguments)]
        calls = {name: partial(call, scans[name], inputs) for name in names}
        compile_seconds = {name: first_call_cpu_seconds(calls[name]) for name in compiled}
        exact = call(unbound_loop_scan, exact_inputs)
        results = ("y",) if mode == "forward" else INPUTS
        errors = {name: dict(zip(results, map(relative_error, calls[name](), exact), strict=True)) for name in names}
        seconds = interleaved_seconds(
            calls, device=arguments.device, repeats=arguments.repeats, threads=arguments.threads
        )
        for name in names:
            rows[name][mode] = {
                "milliseconds": round(seconds[name] * 1e3, 4),
                "ratio_to_ours": round(seconds[name] / seconds[OURS], 4),
                "speedup_over_loop": round(seconds[LOOP] / seconds[name], 3) if LOOP in seconds else None,
                "compile_cpu_seconds": round(compile_seconds[name], 2) if name in compiled else None,
                "errors": errors[name],
            }
    if arguments.compile:
        torch.compiler.reset()  # the next shape must not be compiled as a dynamic one
    return rows


def trains_loop(shape: tuple[int, ...], arguments: argparse.Namespace) -> bool:
    """Whether the reference loop is trained at this shape."""
    return arguments.long_loops or math.prod(shape) * STATES < LONG_LOOP_STATES


def scan_inputs(shape: tuple[int, ...], device: str) -> list[torch.Tensor]:
    """Random arguments of a scan in the order of INPUTS, of the sizes that a fresh Mamba block has."""
    batch, length, channels = shape
    torch.manual_seed(0)
    sequence, states = (batch, channels, length), (batch, STATES, length)
    tensors = {name: torch.randn(sequence) for name in ("u", "delta", "z")}
    tensors |= {name: torch.randn(states) for name in ("B", "C")}
    tensors["A"] = -torch.arange(1.0, STATES + 1).repeat(channels, 1)
    tensors["D"] = torch.ones(channels)
    tensors["delta_bias"] = torch.empty(channels).uniform_(-7, -2)  # softplus of it is a step of 0.001 to 0.1
    return [tensors[name].to(device).requires_grad_() for name in INPUTS]


def eager_scans(device: str) -> dict[str, Scan]:
    """The peers, then `selective_scan` on every back end that runs here."""
    scans = {LOOP: loop_scan, "reference loop, unbound": unbound_loop_scan, "associative_scan": associative_scan}
    if HAS_MAMBAPY:
        scans["mambapy pscan"] = pscan_scan
    for backend in reversed(list_scan_backends()):
        scan = on_backend(backend, selective_scan)
        try:
            forward(scan, scan_inputs((1, 4, 4), device))
        except ValueError as obstacle:
            print(f"left out: {obstacle}")
        else:
            scans[f"selective_scan, {backend}"] = scan
    return scans


def compiled_scans() -> dict[str, Scan]:
    """Those that compile in reasonable time: the graph of a loop has all its steps."""
    ours = on_backend("torch", torch.compile(selective_scan, dynamic=False))
    return {"associative_scan, compiled": torch.compile(associative_scan, dynamic=False), f"{OURS}, compiled": ours}


def on_backend(backend: str, scan: Scan) -> Scan:
    """`scan` with the back end forced."""

    def forced(*arguments: torch.Tensor, delta_softplus: bool) -> torch.Tensor:
        with scan_backend(backend):
            return scan(*arguments, delta_softplus=delta_softplus)

    return forced


def forward(scan: Scan, inputs: Tensors) -> Tensors:
    """The output alone."""
    with torch.no_grad():
        return (scan(*inputs, delta_softplus=True),)


def training(scan: Scan, inputs: Tensors) -> Tensors:
    """The gradient of every input."""
    return torch.autograd.grad(scan(*inputs, delta_softplus=True).square().mean(), inputs)


def relative_error(result: torch.Tensor, exact: torch.Tensor) -> float:
    """Largest difference over the largest exact value."""
    return float(f"{(result.double() - exact).abs().max() / exact.abs().max():.3g}")


def print_table(shape: tuple[int, ...], rows: Mapping[str, Mapping[str, Any]], absolute: bool) -> None:
    """Ratios of both modes, absolute times where they mean something, compilation, errors."""
    heads = ("time/ours", "loop/time", "compile, s") + (("ms",) if absolute else ())
    keys = ("ratio_to_ours", "speedup_over_loop", "compile_cpu_seconds") + (("milliseconds",) if absolute else ())
    width = 12 * len(keys)
    print(f"\n(batch, length, channels) = {shape}\n{'':34}{'forward':>{width}}{'training':>{width}}")
    print(f"{'scan':34}" + 2 * "".join(f"{head:>12}" for head in heads))
    for name, modes in rows.items():
        values = (modes.get(mode, {}).get(key) for mode in ("forward", "training") for key in keys)
        print(f"{name:34}" + "".join("           -" if value is None else f"{value:12.3f}" for value in values))
    print(f"{'error: of y, of the gradients':34}" + "".join(f"{name:>11}" for name in ("y", *INPUTS)))
    for name, modes in rows.items():
        errors = modes["forward"]["errors"] | modes.get("training", {}).get("errors", {})
        print(f"{name:34}" + "".join(f"{error:11.1e}" for error in errors.values()))


if __name__ == "__main__":
    main()
