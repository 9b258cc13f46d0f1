"""Write the pages that are made from code.

From the cards: the README's table of networks and one page per network in docs/networks. From the parameter counts of
state-space blocks: docs/state_space_parameters.md.

python docs/make_pages.py            # writes
python docs/make_pages.py --check    # exits 1 if something is out of date
"""

import sys
from pathlib import Path

from monai_lightseg.atomic import write_text
from monai_lightseg.networks import NetworkCard, list_networks, network_card
from monai_lightseg.profiling import mamba_parameters, pvm_parameters, vss_parameters

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
    made[ROOT / "docs" / "state_space_parameters.md"] = state_space_page()
    return made


def network_table(cards: list[NetworkCard]) -> str:
    """The README's table."""
    lines = ["| `create_network(...)` | parameters | MACs, papers | MACs, built | paper |", "|---|---:|---:|---:|---|"]
    lines += [
        f'| `"{card.name}"` | {card.parameters:,} | {card.macs_thop / 1e9:.3f} G | {card.macs / 1e9:.3f} G | '
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
    text += _section("Notes", card.notes)
    text += _section("What `parallelize` replaces by parallel vision Mamba layers", [card.parallelized])
    text += _section("Not supported", [f"{name}: {reason}" for name, reason in card.not_supported.items()])
    text += _section(
        "Figures its authors report",
        [f"{figure.data_set}, {figure.protocol}: {figure.metric} {figure.value}" for figure in card.reported],
    )
    return "\n".join(text) + "\n"


def state_space_page() -> str:
    """The page of parameters of state-space blocks."""
    rows, reductions, dense_shares = [], {}, {}
    for name, count in (("Mamba", mamba_parameters), ("SS2D", vss_parameters)):
        for counting in ("as_built", "as_in_paper"):
            before, after = (count(channels, counting=counting) for channels in (1024, 256))
            ratio = after / before
            reductions[name, counting] = reduction = f"{100 * (1 - ratio):.2f} %"
            rows.append(f"| {name} | `{counting}` | {before:,} | {after:,} | {ratio:.4f} | {reduction} |")
        dense_shares[name] = f"{100 * (1 - count(1024) / count(1024, counting='as_in_paper')):.1f} %"
    blocks = "\n".join(rows)
    return f"""# Parameters of state-space blocks

The parameter analysis of the UltraLight VM-UNet paper (arXiv:2403.20035), recomputed with `mamba_parameters`,
`vss_parameters` and `pvm_parameters` of `monai_lightseg.profiling`. `python docs/make_pages.py` writes this page; every
count, ratio and percentage comes from these functions.

## What is counted

All values in all parameters of one block. C is the width of the block, E = 2 C its inner width, N = 16 its state,
R = C / 16, rounded up, the rank of its step sizes, K the kernel size of its convolution (4 in Mamba, 3 in SS2D). Mamba
is a Mamba-1 block. SS2D is the 2D selective scan of a VSS block, with 4 directions; the norm in front of it is not
counted.

| part | Mamba | SS2D |
|---|---|---|
| in_proj | 2 C E | 2 C E |
| convolution with bias, `as_built`: depthwise | E K + E | E K² + E |
| convolution with bias, `as_in_paper`: dense | E² K + E | E² K² + E |
| x_proj | E (R + 2 N) | 4 E (R + 2 N) |
| dt_proj with bias | E R + E | 4 (E R + E) |
| A_log | E N | 4 E N |
| D | E | 4 E |
| output norm | none | 2 E |
| out_proj | E C | E C |

## From C = 1024 to C = 256

A PVM layer splits its channels into 4 parts and sends every part through the same block. The weights are shared, so
going from one block of width 1024 to 4 shared blocks of width 256 leaves the parameters of one block of width 256.

| block | count | C = 1024 | C = 256 | ratio | reduction |
|---|---|---:|---:|---:|---:|
{blocks}

The `as_in_paper` rows equal the paper's figures. They are larger than the blocks as built because the convolution is
counted as a dense one, with a kernel for every pair of inner channels. In the blocks as built it is depthwise, with one
kernel per inner channel. At C = 1024 the difference is {dense_shares["Mamba"]} of the paper's count for Mamba and
{dense_shares["SS2D"]} for SS2D.

The paper argues for a reduction of about 94 %. As built it is {reductions["Mamba", "as_built"]} for Mamba and
{reductions["SS2D", "as_built"]} for SS2D, so the argument holds in both counts. In both, the largest terms
grow with the square of C, and a quarter of the width leaves 1/16 of such a term; of the terms that grow with C alone it
leaves 1/4.

## PVM layers of UltraLight VM-UNet

A PVM layer from I to O channels with B branches holds a layer norm (2 I), a linear layer with bias (I O + O), one skip
scale (1) and one shared Mamba block of width d = I / B as built, 6 d² + 4 d r + 110 d with r = d / 16, rounded up.

{_pvm_table()}
"""


def _pvm_table() -> str:
    branches = (4, 2, 1)
    layers = ((24, 32), (32, 48), (48, 64), (64, 48), (48, 32), (32, 24))
    counts = {
        f"{inputs} -> {outputs}": [pvm_parameters(inputs, outputs, branches=number) for number in branches]
        for inputs, outputs in layers
    }
    counts["all six"] = [sum(column) for column in zip(*counts.values(), strict=True)]
    lines = ["| layer | B = 4 | B = 2 | B = 1 |", "|---|---:|---:|---:|"]
    lines += [f"| {layer} | {' | '.join(f'{count:,}' for count in row)} |" for layer, row in counts.items()]
    return "\n".join(lines)


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
