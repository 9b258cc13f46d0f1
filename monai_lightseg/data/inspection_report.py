"""An inspection as text."""

from typing import Any

from monai_lightseg.data.inspection import Inspection
from monai_lightseg.data.listing import first_few

__all__ = ["inspection_report"]

_GROUPS_SHOWN = 30


def inspection_report(inspection: Inspection) -> str:
    """Return what `Inspection.summary` holds in lines to be read; long lists are cut, errors are left out.

    Near-duplicates are named at the end. Where there is one protocol, those in several of its parts come first. Where
    nothing could be read, nothing is said to be absent.
    """
    summary = inspection.summary()
    marked = summary["foreground"]
    absent = "none" if summary["cases_read"] else ""
    rows = [
        (summary["title"], f"{summary['cases']} cases" + _not_read(summary)),
        ("parts", _counts(summary["parts"])),
        ("image sizes", _sizes(summary)),
        ("image files", _counts(summary["image_formats"])),
        ("label files", _counts(summary["label_formats"])),
        ("labels of another size", _names(summary["label_of_another_size"], absent)),
        (f"share of {marked}", _spread(summary["foreground_share"], ".4f")),
        (f"no {marked}", _names(summary["empty"], absent)),
        (f"nothing but {marked}", _names(summary["full"], absent)),
    ]
    if summary["objects"] is not None:
        rows.append((f"{marked}s in an image", _spread(summary["objects"], ".4g")))
    rows.append(("near-duplicates", _groups_text(summary["near_duplicates"], absent)))
    if len(summary["parts"]) > 1:
        rows.append(("between parts", _groups_text(summary["near_duplicates_across_parts"], absent)))
    for name, split in summary["protocols"].items():
        across = _groups_text(split["near_duplicates_across_parts"], absent)
        between = f"; near-duplicates between these: {across}" if across else ""
        rows.append((f"protocol {name}", _counts(split["cases"]) + between))
    rows += [(f"protocol {name}", f"does not fit: {reason}") for name, reason in summary["misfits"].items()]
    if not summary["protocols"] and not summary["misfits"]:
        rows.append(("protocols", "none of those that `lightseg data protocols` lists fits"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {text}" for name, text in rows if text]
    if summary["overlap"] is not None:
        lines += ["", summary["overlap"]]
    if summary["near_duplicates"]:
        lines += ["", "near-duplicates, most similar first:", *first_few(_group_lines(summary), _GROUPS_SHOWN)]
    return "\n".join(lines)


def _not_read(summary: dict[str, Any]) -> str:
    missing = summary["cases"] - summary["cases_read"]
    return f", {missing} of them cannot be read and do not count below" if missing else ""


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(first_few([f"{name}: {count}" for name, count in counts.items()]))


def _sizes(summary: dict[str, Any]) -> str:
    text = _counts(summary["image_sizes"])
    if len(summary["image_sizes"]) > 1:
        text += f"; from {summary['smallest_image']} to {summary['largest_image']}"
    return f"{text} (height x width)" if text else ""


def _names(ids: list[str], absent: str) -> str:
    return f"{len(ids)}: {', '.join(first_few(ids))}" if ids else absent


def _spread(spread: dict[str, Any] | None, form: str) -> str:
    if spread is None:
        return ""
    mean, median, low, high, smallest, largest = (
        format(spread[name], form)
        for name in ("mean", "median", "percentile_5", "percentile_95", "smallest", "largest")
    )
    return (
        f"mean {mean}, median {median}, 5 to 95 %: {low} to {high}, "
        f"smallest {smallest} ({spread['smallest_id']}), largest {largest} ({spread['largest_id']})"
    )


def _groups_text(groups: list[dict[str, Any]], absent: str) -> str:
    if not groups:
        return absent
    return f"{sum(len(group['ids']) for group in groups)} images in {len(groups)} group{'s' if len(groups) > 1 else ''}"


def _group_lines(summary: dict[str, Any]) -> list[str]:
    """A line per group; of one protocol with the part of each image, and the groups between parts first."""
    part_of: dict[str, str] = {}
    if len(summary["protocols"]) == 1:
        (split,) = summary["protocols"].values()
        for group in split["near_duplicates_across_parts"]:
            part_of |= {name: part or "in no part" for name, part in zip(group["ids"], group["parts"], strict=True)}
    return [
        f"{group['similarity']:.3f}  "
        + ", ".join(f"{name} ({part_of[name]})" if name in part_of else name for name in group["ids"])
        + (", turned or mirrored" if group["turned"] else "")
        for group in sorted(summary["near_duplicates"], key=lambda group: group["ids"][0] not in part_of)
    ]
