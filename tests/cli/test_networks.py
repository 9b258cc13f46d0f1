import json

from typer.testing import CliRunner

from monai_lightseg.cli.app import app
from monai_lightseg.networks import list_networks, network_card


def test_table_has_a_line_per_network() -> None:
    lines = CliRunner().invoke(app, ["networks"]).output.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *list_networks()]
    card = network_card("nmode_unet")
    line = next(line for line in lines if line.startswith("nmode_unet"))
    numbers = [f"{card.parameters:,}", f"{card.macs_thop:,}", f"{card.macs:,}", str(card.year)]
    assert line.split()[1:] == [*numbers, card.paper, *card.origin.split()]


def test_json_holds_the_cards() -> None:
    cards = json.loads(CliRunner().invoke(app, ["networks", "--json"]).output)
    assert [card["name"] for card in cards] == list_networks()
    assert all(card["parameters"] == network_card(card["name"]).parameters for card in cards)
