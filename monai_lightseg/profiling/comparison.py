"""Two networks side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from monai.networks import eval_mode
from torch import nn

from monai_lightseg.profiling.counting import count_flops, count_macs, count_macs_thop, count_parameters
from monai_lightseg.profiling.latency import interleaved_cpu_seconds

__all__ = ["Comparison", "NetworkCost", "compare"]


@dataclass(frozen=True)
class NetworkCost:
    """Cost of one network on one input.

    Attributes:
        parameters: number of values in all parameters.
        macs_thop: multiply-accumulates as the papers count them; see `count_macs_thop`.
        macs: multiply-accumulates of convolutions and matrix products as built.
        flops: floating point operations of the same, 2 per multiply-accumulate, and of selective scans.
        cpu_seconds: median CPU time of a forward in eval mode.
    """

    parameters: int
    macs_thop: int
    macs: int
    flops: int
    cpu_seconds: float


@dataclass(frozen=True)
class Comparison:
    """Costs of two networks; `str()` gives a table, `ratios()` after over before."""

    before: NetworkCost
    after: NetworkCost
    input_size: tuple[int, ...]
    threads: int

    def ratios(self) -> dict[str, float]:
        """After over before, by field of `NetworkCost`."""
        return {name: value / vars(self.before)[name] for name, value in vars(self.after).items()}

    def __str__(self) -> str:
        size = "x".join(str(side) for side in self.input_size)
        lines = [f"{f'input {size}, threads {self.threads}':34}{'before':>14}{'after':>14}{'ratio':>8}"]
        titles = {
            "parameters": ("parameters, M", 1e6),
            "macs_thop": ("MACs as the papers count, G", 1e9),
            "macs": ("MACs as built, G", 1e9),
            "flops": ("FLOPs as built, G", 1e9),
            "cpu_seconds": ("CPU time of a forward, ms", 1e-3),
        }
        ratios = self.ratios()
        for name, (title, unit) in titles.items():
            before, after = vars(self.before)[name] / unit, vars(self.after)[name] / unit
            lines.append(f"{title:34}{before:14.3f}{after:14.3f}{ratios[name]:8.3f}")
        return "\n".join(lines)


def compare(
    before: nn.Module,
    after: nn.Module,
    *,
    input_size: Sequence[int] = (1, 3, 256, 256),
    threads: int = 1,
    repeats: int = 15,
) -> Comparison:
    """Parameters, operations and latency of two networks, timed in turns in this process.

    Args:
        before: the network to compare with.
        after: the network that is compared.
        input_size: (B, C, *spatial) of the input to both.
        threads: threads of torch while timing.
        repeats: measured forwards of each.

    Raises:
        ValueError: a network is not on the CPU or not float32.
    """
    for network in (before, after):
        like = next(network.parameters())
        if like.device.type != "cpu" or like.dtype != torch.float32:
            raise ValueError(
                f"compare times float32 networks on the CPU, got {like.dtype} on {like.device}: move it first"
            )
    x = torch.zeros(tuple(input_size))
    with torch.inference_mode(), eval_mode(before, after):
        seconds = interleaved_cpu_seconds(
            {"before": lambda: before(x), "after": lambda: after(x)}, repeats=repeats, threads=threads
        )
    costs = [
        NetworkCost(
            parameters=count_parameters(network),
            macs_thop=count_macs_thop(network, input_size),
            macs=count_macs(network, input_size),
            flops=count_flops(network, input_size),
            cpu_seconds=seconds[name],
        )
        for name, network in (("before", before), ("after", after))
    ]
    return Comparison(costs[0], costs[1], tuple(input_size), threads)
