import json
from dataclasses import asdict, fields

from typer.testing import CliRunner

from monai_lightseg.cli.app import app
from monai_lightseg.networks import NetworkCard, list_networks, network_card

WIDTH = 120


def test_table_has_a_line_per_network() -> None:
    lines = CliRunner().invoke(app, ["networks"]).output.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *list_networks()]
    assert max(map(len, lines)) <= WIDTH
    card = network_card("nmode_unet")
    line = next(line for line in lines if line.startswith("nmode_unet"))
    counts = [f"{count:,}" for count in (card.parameters, card.macs_thop, card.macs, card.flops)]
    assert line.split()[1:] == [*counts, str(card.year), card.paper]


def test_figures_stand_under_their_headings() -> None:
    heading, *lines = CliRunner().invoke(app, ["networks"]).output.splitlines()
    end = heading.index("FLOPs (built)") + len("FLOPs (built)")
    assert [line[:end].split()[-1] for line in lines] == [f"{network_card(name).flops:,}" for name in list_networks()]


def test_json_holds_the_whole_cards() -> None:
    cards = json.loads(CliRunner().invoke(app, ["networks", "--json"]).output)
    assert [card["name"] for card in cards] == list_networks()
    assert all(set(card) == {field.name for field in fields(NetworkCard)} for card in cards)
    for card in cards:
        assert card == json.loads(json.dumps(asdict(network_card(card["name"]))))
    card = next(card for card in cards if card["name"] == "ultralight_vm_unet")
    assert card["origin"] == network_card("ultralight_vm_unet").origin
    assert card["reported"][0]["data_set"] == "ISIC 2017"
