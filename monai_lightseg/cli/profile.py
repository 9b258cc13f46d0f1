"""`lightseg profile`: what a network costs, beside a baseline."""

import json
import os
from dataclasses import asdict
from typing import Annotated, Any

import typer

from monai_lightseg.cli.values import network_arguments, read_sides
from monai_lightseg.errors import LightsegError

__all__ = ["profile"]

# What both networks must have in common to take the same image and do the same task.
SHARED = ("spatial_dims", "in_channels", "out_channels")


def profile(
    name: Annotated[str, typer.Argument(help="Network; see lightseg networks.")],
    size: Annotated[str, typer.Option(help="Side of the image, or HEIGHTxWIDTH.")] = "256",
    batch: Annotated[int, typer.Option(min=1, help="Images per forward.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of torch while timing.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Timed forwards of each network.")] = 30,
    baseline: Annotated[str, typer.Option(help="Network to compare with.")] = "unet_bilinear",
    argument: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Argument of the network; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, in plain units.")] = False,
) -> None:
    """Count and time a network beside a baseline.

    The forwards of the two take turns on the CPU, in float32 and eval mode. The baseline is built with its own defaults
    and the network's channels and dimensions. Peak activation memory is that of the tensors a forward makes.

    Example: lightseg profile ultralight_vm_unet --argument branches=2 --size 192x256
    """
    arguments = network_arguments(argument or [])
    of_baseline = {key: value for key, value in arguments.items() if key in SHARED}

    cores = os.cpu_count() or 1
    if threads > cores:
        raise typer.BadParameter(f"{threads} is more than the {cores} cores here", param_hint="--threads")
    for key, value in of_baseline.items():
        if type(value) is not int:
            raise LightsegError(f"{key} is to be a whole number, got {value!r}")

    import torch

    from monai_lightseg.networks.building import build_network
    from monai_lightseg.profiling import compare, processor_name

    network, other = build_network(name, arguments), build_network(baseline, of_baseline)
    sides = read_sides(size, arguments.get("spatial_dims", 2), "--size")
    input_size = (batch, arguments.get("in_channels", 3), *sides)
    try:
        comparison = compare(other, network, input_size=input_size, threads=threads, repeats=repeats, progress=True)
    except (ValueError, RuntimeError) as error:  # torch's own refusals are RuntimeErrors, also that of too much memory.
        raise LightsegError(f"{name} and {baseline} at --size {size}: {' '.join(str(error).split())}") from error
    processor, version = processor_name(), str(torch.__version__)
    if as_json:
        record = {
            "network": {"name": name, "arguments": arguments} | asdict(comparison.after),
            "baseline": {"name": baseline, "arguments": of_baseline} | asdict(comparison.before),
            "ratios": comparison.ratios(),
            "input_size": input_size,
            "processor": processor,
            "torch": version,
            "threads": threads,
            "repeats": repeats,
        }
        typer.echo(json.dumps(record, indent=2))
        return
    typer.echo(comparison.table(_label(baseline, of_baseline), _label(name, arguments)))
    typer.echo(f"{processor}, torch {version}, threads {threads}, repeats {repeats}")


def _label(name: str, arguments: dict[str, Any]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in arguments.items())])
