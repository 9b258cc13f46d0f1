"""Option values that are more than one word or number."""

import re

import typer

__all__ = ["read_numbers", "read_size"]


def read_size(text: str, option: str) -> tuple[int, int]:
    """Read `HEIGHTxWIDTH`.

    Raises:
        typer.BadParameter: anything else.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not HEIGHTxWIDTH, such as 256x256", param_hint=option)
    return int(match[1]), int(match[2])


def read_numbers(text: str, option: str) -> tuple[int, ...]:
    """Read whole numbers above 0, divided by commas.

    Raises:
        typer.BadParameter: anything else.
    """
    if re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", text) is None:
        raise typer.BadParameter(f"{text!r} is not a list of numbers, such as 16,32,64", param_hint=option)
    return tuple(int(number) for number in text.split(","))
