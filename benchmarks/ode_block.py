"""One U-Node block, trained by every solver: time, memory, error; side by side in one process.

    python benchmarks/ode_block.py            # prints, and writes benchmarks/results/ode_block.json

A training step is a forward and a backward pass of a block of 32 channels at 176x256, weights as the network starts
with. Time is the median process CPU time of interleaved steps; only the ratios mean anything elsewhere. Memory is what
the forward pass keeps for the backward pass, besides the input and the weights. Errors are in norm: of the state at the
end against dopri5 at tolerances of 1e-6, and of the gradients of all weights together against 16 steps of rk4.

"as released" evaluates its rate as the authors' code does: a plane of the time is put in front of the state, and the
state is normalised and the result dropped. The other rows compute the same numbers without either, and their instance
norms as group norms.
"""

import json
from collections.abc import Callable

import torch
from machine import interleaved_seconds, machine_facts, machine_parser, results_file, set_up_machine
from torch import nn
from torch.nn import functional

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import ODESolver, count_evaluations, create_network
from monai_lightseg.networks.blocks.ode import LightsegODEBlock

BASELINE = "dopri5, adjoint, as released"
CHANNELS, SIZE = 32, (176, 256)


class ReleasedRate(nn.Module):
    """The rate of change of a U-Node block, evaluated step by step as its authors' code does."""

    def __init__(self, rate: nn.Module) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """State (B, C, H, W) at a time -> its rate of change."""
        rate = self.rate
        functional.instance_norm(x)
        plane = torch.ones_like(x[:, :1]) * time
        x = functional.instance_norm(rate.act(self.convolved(rate.conv1, plane, x)))
        return rate.act(self.convolved(rate.conv2, plane, x))

    @staticmethod
    def convolved(conv: nn.Conv2d, plane: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Convolution of the plane and the state behind it."""
        return functional.conv2d(torch.cat([plane, x], dim=1), conv.weight, conv.bias, padding=1)


def main() -> None:
    """Measure, print a table, write the JSON."""
    parser = machine_parser(__doc__)
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, metavar=("HEIGHT", "WIDTH"))
    arguments = parser.parse_args()
    set_up_machine(arguments.device, arguments.threads)

    torch.manual_seed(0)
    rate = create_network("unode", features=(arguments.channels, 8)).encoder.blocks[0].rate
    x = torch.randn(1, arguments.channels, *arguments.size)
    rate, x = rate.to(arguments.device), x.to(arguments.device)
    exact = exact_solution(rate, x)
    blocks = {name: LightsegODEBlock(of, solver) for name, (of, solver) in variants(rate).items()}
    seconds = interleaved_seconds(
        {name: training_step(block, x) for name, block in blocks.items()},
        device=arguments.device,
        repeats=arguments.repeats,
        threads=arguments.threads,
    )
    rows = {name: row(block, x, exact, seconds[name] / seconds[BASELINE]) for name, block in blocks.items()}
    show(rows, x)
    settings = {"input": list(x.shape), "threads": arguments.threads, "repeats": arguments.repeats}
    content = {"machine": machine_facts(arguments.device), **settings, "solvers": rows}
    write_text(
        arguments.out or results_file(__file__, arguments.device),
        json.dumps(content, indent=1) + "\n",
    )


def variants(rate: nn.Module) -> dict[str, tuple[nn.Module, ODESolver]]:
    """Name -> rate and solver."""
    solvers = {
        "dopri5, adjoint": ODESolver("dopri5"),
        "dopri5, adjoint, seminorm": ODESolver("dopri5", seminorm=True),
        "dopri5, keeping all": ODESolver("dopri5", adjoint=False),
    }
    for name, steps in (("rk4", 2), ("rk4", 1), ("heun", 4), ("euler", 4)):
        for checkpoint in (True, False):
            kept = "checkpointed" if checkpoint else "keeping all"
            solvers[f"{name} x {steps}, {kept}"] = ODESolver(name, steps=steps, checkpoint=checkpoint)
    return {BASELINE: (ReleasedRate(rate), ODESolver("dopri5"))} | {
        name: (rate, solver) for name, solver in solvers.items()
    }


def gradients(block: nn.Module) -> torch.Tensor:
    """Gradients of all weights in one row, which are then taken away."""
    row = torch.cat([weights.grad.flatten() for weights in block.parameters()]).double().cpu()
    block.zero_grad()
    return row


def loss_of(output: torch.Tensor) -> torch.Tensor:
    """What the block is trained on: any loss that no weight escapes."""
    return output.square().mean()


def exact_solution(rate: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """State at time 1, and gradients."""
    with torch.no_grad():
        state = LightsegODEBlock(rate, ODESolver("dopri5", rtol=1e-6, atol=1e-6))(x).double().cpu()
    block = LightsegODEBlock(rate, ODESolver("rk4", steps=16))
    loss_of(block(x)).backward()
    return state, gradients(block)


def training_step(block: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    """A call that runs the block forwards and backwards."""

    def step() -> None:
        loss_of(block(x)).backward()
        block.zero_grad()

    return step


def row(
    block: nn.Module, x: torch.Tensor, exact: tuple[torch.Tensor, torch.Tensor], time_ratio: float
) -> dict[str, float]:
    """One line of the table."""
    given = {tensor.untyped_storage() for tensor in (x, *block.parameters())}
    kept: set[torch.UntypedStorage] = set()

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.add(tensor.untyped_storage())
        return tensor

    with count_evaluations(block) as evaluations:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = block(x)
        forward = evaluations.total()
        loss_of(output).backward()
        backward = evaluations.total() - forward
    output, gradient = output.detach().double().cpu(), gradients(block)
    return {
        "time_ratio": round(time_ratio, 4),
        "evaluations_forward": forward,
        "evaluations_backward": backward,
        "kept_megabytes": round(sum(storage.nbytes() for storage in kept - given) / 1e6, 2),
        "error": float(f"{((output - exact[0]).norm() / exact[0].norm()).item():.3g}"),
        "gradient_error": float(f"{((gradient - exact[1]).norm() / exact[1].norm()).item():.3g}"),
    }


def show(rows: dict[str, dict[str, float]], x: torch.Tensor) -> None:
    """Print the table."""
    print(f"one block, input {tuple(x.shape)}, float32; times relative to '{BASELINE}'")
    print(f"{'solver':32}{'time':>8}{'faster':>9}{'evaluations':>14}{'kept':>11}{'error':>10}{'of gradients':>14}")
    for name, of in rows.items():
        evaluations = f"{of['evaluations_forward']} + {of['evaluations_backward']}"
        print(
            f"{name:32}{of['time_ratio']:8.3f}{1 / of['time_ratio']:8.1f}x{evaluations:>14}"
            f"{of['kept_megabytes']:8.1f} MB{of['error']:10.1e}{of['gradient_error']:14.1e}"
        )


if __name__ == "__main__":
    main()
