"""Two networks side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.networks import eval_mode
from torch import nn

from monai_lightseg.profiling.counting import count_flops, count_macs, count_macs_thop, count_parameters
from monai_lightseg.profiling.latency import interleaved_cpu_seconds
from monai_lightseg.profiling.memory import peak_activation_bytes

__all__ = ["Comparison", "NetworkCost", "compare"]


@dataclass(frozen=True)
class NetworkCost:
    """Cost of one network on one input.

    Attributes:
        parameters: number of values in all parameters.
        macs_thop: multiply-accumulates as the papers count them; see `count_macs_thop`.
        macs: multiply-accumulates of convolutions and matrix products as built.
        flops: floating point operations of the same, 2 per multiply-accumulate, and of selective scans.
        peak_activation_bytes: most bytes alive at once in tensors made by a forward; see `peak_activation_bytes`.
        cpu_seconds_p10: CPU time of a forward in eval mode that a tenth of the repeats did not exceed.
        cpu_seconds: its median.
        cpu_seconds_p90: what nine tenths did not exceed.
    """

    parameters: int
    macs_thop: int
    macs: int
    flops: int
    peak_activation_bytes: int
    cpu_seconds_p10: float
    cpu_seconds: float
    cpu_seconds_p90: float


# Title, unit and decimals of each field in the table.
ROWS = {
    "parameters": ("parameters", 1, 0),
    "macs_thop": ("MACs as the papers count, M", 1e6, 3),
    "macs": ("MACs as built, M", 1e6, 3),
    "flops": ("FLOPs as built, scans included, M", 1e6, 3),
    "peak_activation_bytes": ("peak activation memory, MB", 1e6, 3),
    "cpu_seconds_p10": ("CPU time of a forward, p10, ms", 1e-3, 3),
    "cpu_seconds": ("CPU time of a forward, p50, ms", 1e-3, 3),
    "cpu_seconds_p90": ("CPU time of a forward, p90, ms", 1e-3, 3),
}


@dataclass(frozen=True)
class Comparison:
    """Costs of two networks; `str()` gives a table, `ratios()` after over before."""

    before: NetworkCost
    after: NetworkCost
    input_size: tuple[int, ...]
    threads: int

    def ratios(self) -> dict[str, float]:
        """After over before, by field of `NetworkCost`; NaN where before is 0."""
        before = vars(self.before)
        return {name: value / before[name] if before[name] else math.nan for name, value in vars(self.after).items()}

    def table(self, before: str = "before", after: str = "after") -> str:
        """One line per figure, the columns under the given names."""
        size = "x".join(str(side) for side in self.input_size)
        widths = [max(14, len(name) + 2) for name in (before, after)]
        title = f"input {size}, threads {self.threads}"
        lines = [f"{title:34}{before:>{widths[0]}}{after:>{widths[1]}}{'ratio':>9}"]
        costs, ratios = (vars(self.before), vars(self.after)), self.ratios()
        for field, (title, unit, decimals) in ROWS.items():
            figures = [f"{cost[field] / unit:{width},.{decimals}f}" for cost, width in zip(costs, widths, strict=True)]
            lines.append(f"{title:34}{''.join(figures)}{ratios[field]:9.4f}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def compare(
    before: nn.Module,
    after: nn.Module,
    *,
    input_size: Sequence[int] = (1, 3, 256, 256),
    threads: int = 1,
    repeats: int = 15,
    progress: bool = False,
) -> Comparison:
    """Parameters, operations, memory and latency of two networks, timed in turns in this process.

    Args:
        before: the network to compare with.
        after: the network that is compared.
        input_size: (B, C, *spatial) of the input to both.
        threads: threads of torch while timing.
        repeats: measured forwards of each.
        progress: show the turns on stderr where that is a terminal.

    Raises:
        ValueError: a network is not on the CPU or not float32, or `repeats` is below 1.
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
            {"before": lambda: before(x), "after": lambda: after(x)},
            repeats=repeats,
            threads=threads,
            progress=progress,
        )
    costs = []
    for name, network in (("before", before), ("after", after)):
        p10, median, p90 = np.percentile(seconds[name], (10, 50, 90)).tolist()
        costs.append(
            NetworkCost(
                parameters=count_parameters(network),
                macs_thop=count_macs_thop(network, input_size),
                macs=count_macs(network, input_size),
                flops=count_flops(network, input_size),
                peak_activation_bytes=peak_activation_bytes(network, input_size),
                cpu_seconds_p10=p10,
                cpu_seconds=median,
                cpu_seconds_p90=p90,
            )
        )
    return Comparison(costs[0], costs[1], tuple(input_size), threads)
