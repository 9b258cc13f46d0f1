"""`lightseg data protocols`: which cases train, validate and test, from the protocol files."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from monai_lightseg.cli.columns import in_columns

if TYPE_CHECKING:
    from monai_lightseg.data import Protocol, ProtocolPart

__all__ = ["protocols"]

HEADINGS = ("name", "data set", "cases", "size")


def protocols(
    name: Annotated[
        str | None, typer.Argument(help="Protocol, or a JSON file of your own; without it all are listed.")
    ] = None,
    ids: Annotated[str | None, typer.Option(metavar="PART", help="Print the ids of a part, one per line.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON; of one protocol all of it, in the form of its file.")
    ] = False,
) -> None:
    """List the protocols, or print one.

    A protocol says which cases train, validate and test, at which size, and how they are scored.

    Example: lightseg data protocols isic2018-random42 --ids test
    """
    from monai_lightseg.data import list_protocols, load_protocol

    if name is None:
        if ids is not None:
            raise typer.BadParameter("needs the NAME of a protocol", param_hint="--ids")
        listed = [load_protocol(known) for known in list_protocols()]
        typer.echo(json.dumps([_without_ids(protocol) for protocol in listed], indent=2) if as_json else _table(listed))
        return
    protocol = load_protocol(name)
    if ids is not None:
        if ids not in protocol.parts:
            raise typer.BadParameter(f"{name} has the parts {', '.join(protocol.parts)}", param_hint="--ids")
        of_part = protocol.ids(ids)
        typer.echo(json.dumps(of_part, indent=2) if as_json else "\n".join(of_part))
    elif as_json:
        typer.echo(json.dumps(protocol.content(), indent=2))
    else:
        typer.echo(_page(protocol))


def _table(listed: list["Protocol"]) -> str:
    return in_columns(HEADINGS, ((one.name, one.data_set, _cases(one), _size(one)) for one in listed))


def _page(protocol: "Protocol") -> str:
    by = protocol.interpolation
    how = f", images {by['image']} of Pillow, which averages when it shrinks, masks {by['mask']}" if by else ""
    lines = [
        f"{protocol.name}: {protocol.title}",
        "",
        f"data set: {protocol.data_set}",
        f"source: {protocol.source}",
        f"size: {_size(protocol)}{how}",
        f"metric: {protocol.metric}",
        "",
        *(f"{name}: {_part(part)}" for name, part in protocol.parts.items()),
        "",
        *(f"- {note}" for note in protocol.notes),
    ]
    return "\n".join(lines)


def _cases(protocol: "Protocol") -> str:
    counts = [part.count for part in protocol.parts.values()]
    if protocol.is_cross_validation:
        return f"{len(counts)} folds of {' or '.join(map(str, sorted(set(counts))))}"
    return ", ".join(f"{count} {name}" for name, count in zip(protocol.parts, counts, strict=True))


def _size(protocol: "Protocol") -> str:
    return "as it is" if protocol.image_size is None else "x".join(map(str, protocol.image_size))


def _part(part: "ProtocolPart") -> str:
    words = [f"{part.count} cases"]
    if part.folder is not None:
        words.append(f"official part {part.folder}")
    words.append(f"sha256 {part.sha256}" if part.sha256 else "no checksum")
    return ", ".join(words)


def _without_ids(protocol: "Protocol") -> dict[str, object]:
    content = protocol.content()
    for part in content["parts"].values():
        part.pop("ids", None)
    return content
