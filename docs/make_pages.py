"""Write the pages that are made from code.

From the cards: the README's table of networks and one page per network in docs/networks. From the parameter counts of
state-space blocks: docs/state_space_parameters.md. From benchmarks/results/surgery.json: docs/surgery.md.

python docs/make_pages.py            # writes
python docs/make_pages.py --check    # exits 1 if something is out of date
"""

import json
import sys
from pathlib import Path
from typing import Any

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
    results = ROOT / "benchmarks" / "results" / "surgery.json"
    made[ROOT / "docs" / "surgery.md"] = surgery_page(json.loads(results.read_text(encoding="utf-8")), cards)
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
        [f"{figure.data_set}, {figure.protocol}: {figure.metric} {figure.value}" for figure in card.reported]
        or ["Not looked up."],
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


def surgery_page(record: dict[str, Any], cards: list[NetworkCard]) -> str:
    """The page of what `replace_decoder` and `parallelize` do to every network."""
    rows = [
        _surgery_row(name, variant, row, variants["as published"])
        for name, variants in record["networks"].items()
        for variant, row in variants.items()
    ]
    table = "\n".join(rows)
    replaced = "\n".join(f"- `{card.name}`: {card.parallelized}" for card in cards)
    size, repeats = record["size"], record["repeats"]
    euler = {
        name: {key: row["+ nmODE euler"][key] / row["as published"][key] - 1 for key in ("parameters", "macs_thop")}
        for name, row in record["networks"].items()
    }
    below = [name for name, change in euler.items() if change["parameters"] > -0.2]
    above = [name for name, change in euler.items() if change["parameters"] < -0.5]
    beyond = [name for name, change in euler.items() if change["macs_thop"] < -0.74]
    at_full_size = ("unet_bilinear", "MONAI BasicUNet", "MONAI FlexibleUNet b0")
    slow = [record["networks"][name]["+ PVM"]["time_ratio"] for name in at_full_size]
    machine = f"{record['machine']['processor']}, torch {record['machine']['torch']}, threads {record['threads']}"
    return f"""# Surgery

Two operations make a new network of a given one and leave the given one untouched; what stays keeps its weights.

```python
from monai_lightseg.networks import create_network, parallelize, replace_decoder

host = create_network("ulite")
slim = replace_decoder(host, "nmode", solver="euler")  # another decoder on the same encoder
parallel = parallelize(create_network("malunet"), branches=4)  # PVM layers in place of the base blocks
```

`replace_decoder` puts an nmODE decoder ("euler", "heun" or "multistep") on the encoder. `parallelize` puts a parallel
vision Mamba (PVM) layer of as many channels in the place of every base block; a block that reads the image itself
stays, and `block=` names another class of blocks, (B, C, *spatial) to (B, C', *spatial), also in networks of other
libraries:

```python
import timm
from monai_lightseg.networks import parallelize
from timm.models.resnet import BasicBlock

parallelize(timm.create_model("resnet18", features_only=True), block=BasicBlock)
```

Without `block`, nnU-Net's PlainConvUNet gives up its stacked convolutions, ResidualEncoderUNet its stacked residual
blocks, MONAI's BasicUNet and FlexibleUNet their `TwoConv` blocks, which in FlexibleUNet are the decoder alone.

Both can be applied in a row. The new parts are untrained, so the network has to be trained or fine-tuned again.

## What they save

One 3x{size}x{size} image, {machine}; `python benchmarks/surgery.py` prints and records it.
Percentages are changes of the network as published. *papers* counts as the papers do (modules only, scans nothing),
*built* all convolutions and matrix products, FLOPs scans too. Time is the ratio of medians of {repeats} forwards in
eval mode, the variants of a network taking turns. What an operation costs in accuracy, this does not say.

| network | variant | parameters | | MACs, papers | | MACs, built | | FLOPs | time |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
{table}

## How to read it

The nmODE paper (arXiv:2412.06262) reports 20 to 50 % fewer parameters and up to 74 % fewer operations over its hosts,
which its abstract does not name. What a decoder can save is what the host's own decoder costs. The encoder of
FlexibleUNet is light and its decoder heavy, so most operations go; U-Net saves about half. In MALUNet, EGE-UNet and
UltraLight VM-UNet more than half of the parameters are in the decoder, but most operations are in the first levels of
the encoder, which stay, and the state of the solver has the size of the image: Heun, with two convolutions a step, can
cost more than it saves. Of the parameters, less than the 20 % of the paper go in {_listed(below)}, and more than its
50 % in {_listed(above)}; of the operations as the papers count, more than its 74 % go in
{_listed(beyond)}. UNeXt-S computes so little at full size that any such state costs it time. LightM-UNet keeps
almost everything in its encoder.

PVM layers save parameters where they stand in for 3x3 convolutions or wide Mamba blocks, hardly any
in EGE-UNet and UNeXt and none in U-Lite, whose base blocks are small or 1x1 convolutions and linear layers: a PVM layer
holds one of the same size itself. They do not save time here: the papers' count leaves their scans out, and where
blocks at the size of the image are replaced (U-Net, BasicUNet, FlexibleUNet) the scans run over every pixel, so that a
forward on the CPU takes {min(slow):.0f} to {max(slow):.0f} times as long. UltraLight VM-UNet itself has its PVM layers
at strides of 8 and more.

## What `parallelize` replaces

{replaced}
"""


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "none"


def _surgery_row(name: str, variant: str, row: dict[str, Any], published: dict[str, Any]) -> str:
    cells = [name if row is published else "", variant, f"{row['parameters']:,}", _change("parameters", row, published)]
    for key in ("macs_thop", "macs"):
        cells += [f"{row[key] / 1e9:.3f} G", _change(key, row, published)]
    cells += [f"{row['flops'] / 1e9:.3f} G", f"{row['time_ratio']:.2f}"]
    return f"| {' | '.join(cells)} |"


def _change(key: str, row: dict[str, Any], published: dict[str, Any]) -> str:
    return "" if row is published else f"{100 * (row[key] / published[key] - 1):+.1f} %"


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
