"""`lightseg networks`: what is registered, from the cards."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from monai_lightseg.cli.columns import in_columns

if TYPE_CHECKING:
    from monai_lightseg.networks import NetworkCard

__all__ = ["networks"]

HEADINGS = ("name", "parameters", "MACs (papers)", "MACs (built)", "FLOPs (built)", "year", "paper")
NUMBERS = HEADINGS[1:6]


def networks(as_json: Annotated[bool, typer.Option("--json", help="Print the whole cards as JSON.")] = False) -> None:
    """List the networks.

    MACs are the multiply-accumulates of one 3 x 256 x 256 image: as the papers count them, and as built. FLOPs are the
    operations as built, selective scans included.

    Example: lightseg networks --json
    """
    from monai_lightseg.networks import list_networks, network_card

    cards = [network_card(name) for name in list_networks()]
    if as_json:
        typer.echo(json.dumps([asdict(card) for card in cards], indent=2))
        return
    typer.echo(in_columns(HEADINGS, map(_row, cards), numbers=NUMBERS))


def _row(card: "NetworkCard") -> tuple[str, ...]:
    counts = (card.parameters, card.macs_thop, card.macs, card.flops)
    return (card.name, *(f"{count:,}" for count in counts), str(card.year), card.paper)
