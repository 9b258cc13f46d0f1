"""Option values that are more than one word or number."""

import json
import re
from typing import Any

import typer

__all__ = ["network_arguments", "read_numbers", "read_sides", "read_size"]


def read_size(text: str, option: str) -> tuple[int, int]:
    """Read `HEIGHTxWIDTH`.

    Raises:
        typer.BadParameter: anything else.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not HEIGHTxWIDTH, such as 256x256", param_hint=option)
    return int(match[1]), int(match[2])


def read_sides(text: str, dimensions: int, option: str) -> tuple[int, ...]:
    """Read one side for all dimensions, or the side of each, such as `256` or `192x256`.

    Raises:
        typer.BadParameter: anything else.
    """
    if re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text) is None:
        raise typer.BadParameter(f"{text!r} is neither a side nor sides, such as 256 or 192x256", param_hint=option)
    sides = tuple(int(side) for side in text.split("x"))
    if len(sides) == 1:
        return sides * dimensions
    if len(sides) != dimensions:
        raise typer.BadParameter(f"{text!r} has {len(sides)} sides, not {dimensions}", param_hint=option)
    return sides


def read_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers above 0, divided by commas.

    Raises:
        typer.BadParameter: anything else.
    """
    if re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text) is None:
        raise typer.BadParameter(f"{text!r} is not a list of numbers, such as 16,32,64", param_hint=option)
    return tuple(int(number) for number in text.split(","))


def network_arguments(texts: list[str]) -> dict[str, Any]:
    """Read the values of `--argument`, each NAME=VALUE: VALUE as JSON where it is JSON, else as the text it is.

    Raises:
        typer.BadParameter: no name, a name given twice, or a value as Python spells it.
    """
    arguments: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as branches=2", param_hint="--argument")
        if name in arguments:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--argument")
        # As a text, "False" would count as true.
        if value in ("True", "False", "None"):
            raise typer.BadParameter(f"{text!r}: write true, false or null", param_hint="--argument")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments
