"""The machine a benchmark runs on: its options on the command line, its name, its clock and its compiler."""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch

from monai_lightseg.profiling import interleaved_cpu_seconds, processor_name

WARM_UP = 3


def machine_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options that say where and how to measure."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of torch; CPU time is that of all of them together")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path, help="default: results/<script>.json, on CUDA results/<script>_cuda.json")
    return parser


def set_up_machine(device: str, threads: int) -> None:
    """Make float32 mean float32, and set the threads, whose number compiled code bakes in.

    Raises:
        SystemExit: CUDA is asked for and not there.
    """
    if device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("error: --device cuda, but torch finds no CUDA device")
        torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(threads)


def results_file(script: str, device: str) -> Path:
    """Where a script leaves its results unless told otherwise."""
    suffix = "" if device == "cpu" else f"_{device}"
    return Path(script).parent / "results" / f"{Path(script).stem}{suffix}.json"


def machine_facts(device: str = "cpu") -> dict[str, str | int | None]:
    """What the results have to name: hardware and versions."""
    facts = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    return facts | ({"gpu": torch.cuda.get_device_name()} if device == "cuda" else {})


def clock_name(device: str) -> str:
    """What `interleaved_seconds` reads."""
    return "process CPU time" if device == "cpu" else "wall clock, synchronised before and after"


def interleaved_seconds(
    calls: Mapping[str, Callable[[], object]], *, device: str, repeats: int, threads: int
) -> dict[str, float]:
    """Median seconds of each call, the calls taking turns: CPU time of the process, or wall clock on CUDA."""
    warm_up = min(WARM_UP, repeats)
    if device == "cpu":
        seconds = interleaved_cpu_seconds(calls, repeats=repeats, warm_up=warm_up, threads=threads)
    else:
        seconds = interleaved_cuda_seconds(calls, repeats=repeats, warm_up=warm_up)
    return {name: statistics.median(samples) for name, samples in seconds.items()}


def interleaved_cuda_seconds(
    calls: Mapping[str, Callable[[], object]], *, repeats: int, warm_up: int
) -> dict[str, list[float]]:
    """Wall clock of every measured turn of each call on CUDA, the calls taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(warm_up + repeats):
        for name, call in calls.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            if turn >= warm_up:
                seconds[name].append(time.perf_counter() - start)
    return seconds


@contextmanager
def fresh_compiler() -> Iterator[None]:
    """torch.compile with an empty cache and no worker processes, past what only the first compilation of all costs."""
    from torch._inductor import config
    from torch._inductor.utils import fresh_cache

    with fresh_cache(), config.patch(compile_threads=1):
        torch.compile(torch.neg)(torch.ones(16))
        yield


def first_call_cpu_seconds(call: Callable[[], object]) -> float:
    """CPU seconds of one call, the C++ compilers that it starts and waits for included."""
    before = os.times()
    call()
    after = os.times()
    # user and system time, of this process and of its children
    return sum(after[:4]) - sum(before[:4])
