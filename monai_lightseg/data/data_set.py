"""A data set found on disk: what it is, its cases, and the parts its makers divided it into."""

from dataclasses import dataclass, field
from typing import Literal

from monai_lightseg.data.cases import FileCase

__all__ = ["DataSet", "Kind"]

Kind = Literal["isic2018", "isic2017", "ph2", "glas", "folder"]


@dataclass(frozen=True)
class DataSet:
    """Cases of one kind, as their reader found them.

    Attributes:
        kind: "isic2018", "isic2017", "ph2", "glas", or "folder" for a plain pair of folders.
        title: what people call it.
        cases: the cases, in the order of their reader.
        parts: ids of the official parts that are there, such as "Training"; empty where the makers divided nothing.
        foreground: what label 1 is, such as "lesion".
        objects: whether labels are instances, a number per object, in place of one mask.
    """

    kind: Kind
    title: str
    cases: tuple[FileCase, ...]
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    foreground: str = "lesion"
    objects: bool = False
