"""The registry of networks: a class and a card (provenance, sizes, limits) under each published name."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from monai.utils import look_up_option

from monai_lightseg.networks.unet_like import UNetLike

__all__ = [
    "NetworkCard",
    "ReportedFigure",
    "create_network",
    "list_networks",
    "network_card",
    "network_class",
    "register_network",
]

NetworkClass = TypeVar("NetworkClass", bound=type[UNetLike])

CAPABILITIES = ("script", "export", "onnx", "compile", "independent_batch")


@dataclass(frozen=True)
class ReportedFigure:
    """One figure as its paper prints it, with the protocol behind it."""

    data_set: str
    protocol: str
    metric: str
    value: str


@dataclass(frozen=True)
class NetworkCard:
    """What is known of one network; documentation, tables and tests are made from it.

    Attributes:
        name: registry name.
        class_name: name of the class; filled in by `register_network`.
        title: title of the paper.
        year: year of the paper.
        paper: arXiv id or DOI.
        origin: repository (and revision) of the authors' code.
        licence: licence of that repository.
        parameters: number of trainable values at the class defaults.
        reference_parameters: (arguments, number) pairs that the authors' code confirms.
        macs_thop: multiply-accumulates of one 1x3x256x256 image as the papers count them: what the `thop` profiler
            prints, i.e. convolution and linear modules plus 4 per element of each affine norm and 11 per
            element of each bilinear upsampling module.
        macs: multiply-accumulates of convolutions and matrix products as built, same image.
        flops: floating point operations of the same, 2 per multiply-accumulate, plus the scan where there is one.
        size_multiple: input sides at which nothing has to be padded.
        description: one sentence.
        parallelized: what `parallelize` replaces by parallel vision Mamba layers.
        quirks: released behaviour that is kept, and the options that turn it off.
        notes: what else a user should know, such as how the figures above come about.
        not_supported: capability (`script`, `export`, `onnx`, `compile`, `independent_batch`) -> reason.
        reported: figures the paper prints.
    """

    name: str
    title: str
    year: int
    paper: str
    origin: str
    licence: str
    parameters: int
    reference_parameters: tuple[tuple[dict[str, Any], int], ...]
    macs_thop: int
    macs: int
    flops: int
    size_multiple: int
    description: str
    parallelized: str
    class_name: str = ""
    quirks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    not_supported: dict[str, str] = field(default_factory=dict)
    reported: tuple[ReportedFigure, ...] = ()

    def __post_init__(self) -> None:
        unknown = set(self.not_supported) - set(CAPABILITIES)
        if unknown:
            raise ValueError(f"card {self.name!r}: unknown capabilities {sorted(unknown)}; known: {CAPABILITIES}")


_NETWORKS: dict[str, tuple[type[UNetLike], NetworkCard]] = {}


def register_network(card: NetworkCard) -> Callable[[NetworkClass], NetworkClass]:
    """Class decorator that files a network under `card.name`.

    Raises:
        ValueError: the name is taken.
    """

    def register(network_type: NetworkClass) -> NetworkClass:
        if card.name in _NETWORKS:
            raise ValueError(f"network name {card.name!r} is registered twice")
        _NETWORKS[card.name] = (network_type, replace(card, class_name=network_type.__name__))
        return network_type

    return register


def list_networks() -> list[str]:
    """Registered names, sorted."""
    return sorted(_NETWORKS)


def network_class(name: str) -> type[UNetLike]:
    """The class registered under `name`.

    Raises:
        ValueError: no such name; the message suggests the nearest one.
    """
    return _NETWORKS[look_up_option(name, list_networks())][0]


def network_card(name: str) -> NetworkCard:
    """The card registered under `name`.

    Raises:
        ValueError: no such name; the message suggests the nearest one.
    """
    return _NETWORKS[look_up_option(name, list_networks())][1]


def create_network(name: str, **arguments: Any) -> UNetLike:
    """Build the network registered under `name`; `arguments` are the keyword arguments of its class.

    Raises:
        ValueError: no such name, or an argument value the class refuses.
        TypeError: an argument the class does not have.
    """
    return network_class(name)(**arguments)
