"""One U-Node solved in many ways: error, evaluations and time; its weights stay as they are.

    python benchmarks/ode_tradeoff.py                       # prints, and writes benchmarks/results/ode_tradeoff.json
    python benchmarks/ode_tradeoff.py --plot tradeoff.png   # draws it, too
    python benchmarks/ode_tradeoff.py --weights best.pt --image gland.png --size 176x256

Error is the root mean square difference of the logits from the reference, over the root mean square of the reference:
dopri5 at 1e-6 in float64. How far that one is from dopri5 at 1e-7 is printed as well; errors near this mean nothing.
Changed is the share of pixels where a logit is on the other side of 0 than the reference's. Evaluations are those of
all blocks together. Time is relative to dopri5 at 1e-3, the released tolerance: medians of forwards in turns in this
process. Weights were trained with one solver; whether they segment better with another, this does not say.
"""

import argparse
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from machine import clock_name, interleaved_seconds, machine_facts, machine_parser, results_file, set_up_machine
from torch import nn
from unode_inputs import NOISE, UNTRAINED, add_input_options, image_of, network_of

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import count_evaluations, set_solver

SOLVERS: dict[str, dict[str, Any]] = {
    f"dopri5, {tolerance:.0e}": {"name": "dopri5", "rtol": tolerance, "atol": tolerance}
    for tolerance in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
} | {
    f"{name}, {steps} step{'s' if steps > 1 else ''}": {"name": name, "steps": steps}
    for name in ("rk4", "heun", "euler")
    for steps in (1, 2, 4, 8)
}
RELEASED = "dopri5, 1e-03"


def main() -> None:
    """Solve, measure, print the table, write the JSON and the plot."""
    parser = machine_parser(__doc__)
    parser.set_defaults(repeats=7)
    add_input_options(parser)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG of error against evaluations and time")
    arguments = parser.parse_args()
    set_up_machine(arguments.device, arguments.threads)

    network = network_of("unode", arguments.features, arguments.weights).to(arguments.device)
    x = image_of(arguments.image, arguments.size).to(arguments.device)
    facts = machine_facts(arguments.device)
    settings: dict[str, Any] = {"weights": arguments.weights.name if arguments.weights else UNTRAINED}
    settings |= {"features": arguments.features, "image": arguments.image.name if arguments.image else NOISE}
    settings |= {"size": arguments.size, "dtype": "float32", "batch": 1}
    settings |= {"threads": arguments.threads, "repeats": arguments.repeats, "clock": clock_name(arguments.device)}
    print(", ".join(f"{name} {value}" for name, value in (facts | settings).items()))

    with torch.inference_mode():
        reference, uncertainty = solve_exactly(network, x)
        print(f"reference: dopri5, 1e-06, float64; from dopri5, 1e-07: {uncertainty:.1e}")
        rows = measure(network, x, reference, arguments)
    print_table(rows)
    record = {"machine": facts, **settings, "reference_uncertainty": uncertainty, "solvers": rows}
    write_text(arguments.out or results_file(__file__, arguments.device), json.dumps(record, indent=1) + "\n")
    if arguments.plot:
        draw(rows, f"U-Node, weights: {settings['weights']}", arguments.plot)


def solve(network: nn.Module, x: torch.Tensor, solver: Mapping[str, Any]) -> torch.Tensor:
    """Logits by another solver."""
    set_solver(network, **solver)
    return network(x)


def solve_exactly(network: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Logits at 1e-6 in float64, and their error measured at 1e-7."""
    network, x = copy.deepcopy(network).double(), x.double()
    reference, finer = (solve(network, x, {"name": "dopri5", "rtol": at, "atol": at}) for at in (1e-6, 1e-7))
    return reference, relative_error(reference, finer)


def relative_error(logits: torch.Tensor, reference: torch.Tensor) -> float:
    """Root mean square difference over the root mean square of the reference."""
    return ((logits - reference).norm() / reference.norm()).item()


def measure(
    network: nn.Module, x: torch.Tensor, reference: torch.Tensor, arguments: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Evaluations, error, changed pixels and time of every solver."""
    rows = {}
    for name, solver in SOLVERS.items():
        with count_evaluations(network) as evaluations:
            logits = solve(network, x, solver)
        rows[name] = {
            "evaluations": evaluations.total(),
            "error": relative_error(logits, reference),
            "changed": ((logits > 0) != (reference > 0)).any(dim=1).float().mean().item(),
        }
    seconds = interleaved_seconds(
        {name: lambda solver=solver: solve(network, x, solver) for name, solver in SOLVERS.items()},
        device=arguments.device,
        repeats=arguments.repeats,
        threads=arguments.threads,
    )
    for name, row in rows.items():
        row["milliseconds"] = round(seconds[name] * 1e3, 4)
        row["time_ratio"] = round(seconds[name] / seconds[RELEASED], 4)
    return rows


def print_table(rows: Mapping[str, Mapping[str, float]]) -> None:
    """One line per solver."""
    print(f"\n{'solver':16}{'evaluations':>12}{'error':>10}{'changed':>10}{'time':>8}")
    for name, row in rows.items():
        print(
            f"{name:16}{row['evaluations']:12}{row['error']:10.1e}{row['changed']:10.2%}{row['time_ratio']:8.3f}",
        )


def draw(rows: Mapping[str, Mapping[str, float]], title: str, file: Path) -> None:
    """Error against evaluations and against time, a line per solver."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, key in zip(axes, ("evaluations", "time_ratio"), strict=True):
        for solver in ("dopri5", "rk4", "heun", "euler"):
            points = [(row[key], row["error"]) for name, row in rows.items() if name.startswith(solver)]
            axis.loglog(*zip(*points, strict=True), marker="o", label=solver)
        axis.grid(which="both", alpha=0.3)
    axes[0].set(xlabel="evaluations, all blocks", ylabel="relative error of the logits")
    axes[1].set(xlabel="time / time of dopri5 at 1e-3")
    axes[1].legend(title="1e-1 to 1e-5, or 1 to 8 steps")
    figure.suptitle(title)
    figure.savefig(file, format="png", dpi=150)


if __name__ == "__main__":
    main()
