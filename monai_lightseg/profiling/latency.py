"""Time of several calls, measured side by side in one process."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["interleaved_cpu_seconds"]


def interleaved_cpu_seconds(
    calls: Mapping[str, Callable[[], object]], *, repeats: int = 15, warm_up: int = 3, threads: int = 1
) -> dict[str, float]:
    """Median process CPU seconds of each call, the calls taking turns.

    Turns spread a busy neighbour over all of them, and CPU time leaves out the time a neighbour holds the core, so the
    ratios are steady where wall clock is not.

    Args:
        calls: what to time, by name.
        repeats: measured turns.
        warm_up: turns before that.
        threads: threads of torch while measuring.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    try:
        for turn in range(warm_up + repeats):
            for name, call in calls.items():
                start = time.process_time()
                call()
                if turn >= warm_up:
                    seconds[name].append(time.process_time() - start)
    finally:
        torch.set_num_threads(before)
    return {name: statistics.median(values) for name, values in seconds.items()}
