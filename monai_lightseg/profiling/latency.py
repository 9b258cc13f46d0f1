"""Time of several calls, measured side by side in one process."""

import time
from collections.abc import Callable, Mapping

import torch
from tqdm import tqdm

__all__ = ["interleaved_cpu_seconds"]


def interleaved_cpu_seconds(
    calls: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 15,
    warm_up: int = 3,
    threads: int = 1,
    progress: bool = False,
) -> dict[str, list[float]]:
    """Process CPU seconds of every measured turn of each call, the calls taking turns.

    Turns spread a busy neighbour over all of them, and CPU time leaves out the time a neighbour holds the core, so the
    ratios of medians are steady where wall clock is not.

    Args:
        calls: what to time, by name.
        repeats: measured turns.
        warm_up: turns before that.
        threads: threads of torch while measuring.
        progress: show the turns on stderr where that is a terminal.

    Raises:
        ValueError: fewer than one measured turn.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be 1 or more, got {repeats}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    try:
        for turn in tqdm(range(warm_up + repeats), desc="time", unit="turn", disable=None if progress else True):
            for name, call in calls.items():
                start = time.process_time()
                call()
                if turn >= warm_up:
                    seconds[name].append(time.process_time() - start)
    finally:
        torch.set_num_threads(before)
    return seconds
