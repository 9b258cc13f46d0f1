"""Write what is made from the cards: the README's table of networks and one page per network in docs/networks.

python docs/make_pages.py            # writes
python docs/make_pages.py --check    # exits 1 if something is out of date
"""

import sys
from pathlib import Path

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import NetworkCard, list_networks, network_card

ROOT = Path(__file__).parent.parent
START = "<!-- networks: made by `python docs/make_pages.py` from the cards; a test keeps it so -->\n"
END = "<!-- networks end -->"


def pages() -> dict[Path, str]:
    """Every made file and what it should hold."""
    cards = [network_card(name) for name in list_networks()]
    readme = ROOT / "README.md"
    before, rest = readme.read_text(encoding="utf-8").split(START)
    after = rest.split(END)[1]
    made = {readme: f"{before}{START}\n{network_table(cards)}\n{END}{after}"}
    made |= {ROOT / "docs" / "networks" / f"{card.name}.md": network_page(card) for card in cards}
    return made


def network_table(cards: list[NetworkCard]) -> str:
    """The README's table."""
    lines = ["| `create_network(...)` | parameters | MACs, papers | MACs, built | paper |", "|---|---:|---:|---:|---|"]
    lines += [
        f'| `"{card.name}"` | {card.parameters:,} | {card.macs_thop / 1e9:.2f} G | {card.macs / 1e9:.2f} G | '
        f"[{card.title}]({paper_url(card.paper)}), {card.year} |"
        for card in cards
    ]
    return "\n".join(lines) + "\n"


def paper_url(paper: str) -> str:
    """Address of an `arXiv:...` id or a DOI."""
    arxiv = paper.removeprefix("arXiv:")
    return f"https://doi.org/{paper}" if arxiv == paper else f"https://arxiv.org/abs/{arxiv}"


def network_page(card: NetworkCard) -> str:
    """One network's page."""
    rows = [
        ("Class", f"`{card.class_name}`"),
        ("Paper", f"{card.title}, {card.year}, {card.paper}"),
        ("Authors' code", f"{card.origin} (licence: {card.licence})"),
        ("Parameters", f"{card.parameters:,}"),
        *(
            (f"Parameters with {', '.join(f'{name}={value}' for name, value in arguments.items())}", f"{number:,}")
            for arguments, number in card.reference_parameters
            if arguments
        ),
        ("MACs as the papers count, 1x3x256x256", f"{card.macs_thop:,}"),
        ("MACs as built", f"{card.macs:,}"),
        ("FLOPs as built", f"{card.flops:,}"),
        ("Sides that need no padding", f"multiples of {card.size_multiple}"),
    ]
    text = [f"# {card.name}", "", card.description, "", "| | |", "|---|---|"]
    text += [f"| {name} | {value} |" for name, value in rows]
    text += _section("Differences from the release, and what of it is kept", card.quirks)
    text += _section("Not supported", [f"{name}: {reason}" for name, reason in card.not_supported.items()])
    text += _section(
        "Figures of the paper",
        [f"{figure.data_set}, {figure.protocol}: {figure.metric} {figure.value}" for figure in card.reported],
    )
    return "\n".join(text) + "\n"


def _section(title: str, entries: list[str] | tuple[str, ...]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {entry}" for entry in entries)] if entries else []


def main() -> None:
    """Write, or check."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(f"out of date, run `python docs/make_pages.py`: {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        write_text(path, pages()[path])
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
