"""New networks out of given ones: another decoder on the same encoder, other blocks in the same frame."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from monai.networks import eval_mode
from monai.networks.layers.factories import Pool
from monai.utils import look_up_option
from torch import nn

from monai_lightseg.networks.adapters import HostEncoder, host_encoder
from monai_lightseg.networks.blocks.pvm import LightsegPVM
from monai_lightseg.networks.decoders.nmode import NmODEDecoder
from monai_lightseg.networks.unet_like import UNetLike, per_axis

__all__ = ["parallelize", "replace_decoder"]

Network = TypeVar("Network", bound=nn.Module)


def replace_decoder(
    network: nn.Module,
    decoder: str = "nmode",
    *,
    solver: str = "euler",
    ordering: str = "CR_B",
    out_channels: int | None = None,
    state_channels: int | None = None,
    kernel_size: int = 3,
    act: str | tuple[str, dict[str, Any]] = "gelu",
    dropout: float = 0.0,
    multistep_form: str = "released",
    learnable_start: bool = False,
    learnable_weights: bool = False,
) -> UNetLike:
    """A new network: a copy of the encoder of `network` with its weights, and a fresh decoder.

    Works on the U-like networks of this package, nnU-Net's PlainConvUNet and ResidualEncoderUNet, MONAI's BasicUNet and
    FlexibleUNet, models of segmentation_models_pytorch and timm models made with features_only=True. The new network
    takes images of any size (a timm backbone with a fixed image size: that size) and returns logits of that size;
    `network` is left untouched.

    Args:
        network: the network to take the encoder from.
        decoder: "nmode".
        solver: see NmODEDecoder, as for the arguments below.
        ordering: "C_RB", "C_BR", "CR_B" or "CB_R".
        out_channels: channels of the logits; None for those of `network`.
        state_channels: channels of the decoder's state; None for max(3, out_channels).
        kernel_size: of the decoder's convolutions; odd.
        act: activation between decoder steps, as MONAI names it.
        dropout: probability, after every decoder step.
        multistep_form: "released" or "midpoint".
        learnable_start: learn the start state.
        learnable_weights: learn the scalars of every step.

    Raises:
        ValueError: an unsupported network, an unknown name, or no out_channels for a network without a head.
    """
    look_up_option(decoder, ("nmode",))
    if isinstance(network, UNetLike):
        # The memo spares copying the decoder that goes.
        new = copy.deepcopy(network, {id(network.decoder): nn.Identity()})
    else:
        host = host_encoder(network)
        new = UNetLike(
            encoder=copy.deepcopy(host.module),
            decoder=nn.Identity(),
            spatial_dims=host.spatial_dims,
            in_channels=host.in_channels,
            out_channels=_out_channels(out_channels, host.out_channels),
            encoder_channels=host.channels,
            encoder_strides=host.strides,
        )
    new.out_channels = _out_channels(out_channels, new.out_channels)
    new.decoder = NmODEDecoder(
        new.encoder_channels,
        new.encoder_strides,
        new.out_channels,
        spatial_dims=new.spatial_dims,
        solver=solver,
        ordering=ordering,
        state_channels=state_channels,
        kernel_size=kernel_size,
        act=act,
        dropout=dropout,
        multistep_form=multistep_form,
        learnable_start=learnable_start,
        learnable_weights=learnable_weights,
    )
    like = next(new.encoder.parameters())
    new.decoder.to(device=like.device, dtype=like.dtype)
    return new.train(network.training)


def _out_channels(asked: int | None, of_host: int | None) -> int:
    out_channels = of_host if asked is None else asked
    if out_channels is None:
        raise ValueError("the given network has no segmentation head: say out_channels=...")
    return out_channels


def parallelize(network: Network, branches: int = 4, *, block: type[nn.Module] | None = None) -> Network:
    """A new network: a copy of `network` with its base blocks replaced by parallel vision Mamba (PVM) layers.

    A layer takes the channels its block takes and leaves those it leaves; what stays keeps its weights. A block that
    reads the image itself stays, as in the UltraLight VM-UNet paper (Table 4), and where a block has a stride,
    max-pooling with this stride stands in front of its layer. What the base block of a network of this package is,
    `network_card(name).parallelized` says.

    Works on networks of this package, nnU-Net's PlainConvUNet (stacked convolutions) and ResidualEncoderUNet (stacked
    residual blocks) and MONAI's BasicUNet and FlexibleUNet (TwoConv; in FlexibleUNet that is the decoder); with `block`
    given on convolutional models of segmentation_models_pytorch and timm models made with features_only=True, too.
    `network` is left untouched.

    Args:
        network: the network to take everything else from.
        branches: channel chunks of each layer, which share one Mamba.
        block: class of the modules to replace, (B, C, *spatial) -> (B, C', *spatial); None for the base block of
            `network`.

    Raises:
        ValueError: an unsupported network, one without such blocks or of fixed image size, or a block that takes more
            than one map, enlarges it or has channels that do not split into `branches`.
    """
    if block is not None and not isinstance(block, type):
        raise ValueError(f"block must be a class of modules, got {block!r}")
    facts = _facts(network)
    block = block or facts.base_block
    if block is None:
        raise ValueError(f"{type(network).__name__} has no base block of its own to replace: say block=...")
    new = copy.deepcopy(network)
    like = next(new.parameters())
    for name, (before, after) in _maps_of_blocks(network, facts, block).items():
        layer = _parallel_layer(name, before, after, branches)
        parent, _, place = name.rpartition(".")
        setattr(new.get_submodule(parent), place, layer.to(device=like.device, dtype=like.dtype))
    return new.train(network.training)


def _facts(network: nn.Module) -> HostEncoder:
    if not isinstance(network, UNetLike):
        return host_encoder(network)
    return HostEncoder(
        module=network.encoder,
        channels=network.encoder_channels,
        strides=network.encoder_strides,
        spatial_dims=network.spatial_dims,
        in_channels=network.in_channels,
        out_channels=network.out_channels,
        base_block=network.base_block,
    )


def _maps_of_blocks(
    network: nn.Module, facts: HostEncoder, block: type[nn.Module]
) -> dict[str, tuple[torch.Size, torch.Size]]:
    """Shapes of the map each block takes and of the one it leaves, by name; blocks that read the image are left out."""
    twin = copy.deepcopy(network).to("meta", torch.float32)
    strides = [per_axis(stride, facts.spatial_dims) for stride in facts.strides]
    sides = [2 * max(axis) for axis in zip(*strides, strict=True)]
    image = torch.zeros(1, facts.in_channels, *sides, device="meta")
    maps: dict[str, tuple[torch.Size, torch.Size]] = {}
    inside: list[str] = []

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            if len(inputs) != 1 or not isinstance(output, torch.Tensor):
                raise ValueError(f"{name} takes or leaves more than one map: no PVM layer can stand in for it")
            if inputs[0] is not image:
                maps[name] = (inputs[0].shape, output.shape)

        return record

    for name, module in twin.named_modules():
        if isinstance(module, block) and not any(name.startswith(f"{outer}.") for outer in inside):
            inside.append(name)
            module.register_forward_hook(recorder(name))
    try:
        with torch.no_grad(), eval_mode(twin):
            twin(image)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"{type(network).__name__} does not run on an image of {sides}: {error}") from error
    if not maps:
        raise ValueError(f"{type(network).__name__} holds no {block.__name__} that could be replaced")
    return maps


def _parallel_layer(name: str, before: torch.Size, after: torch.Size, branches: int) -> nn.Module:
    """A PVM layer between maps of these shapes, with max-pooling in front where the second is smaller."""
    if not isinstance(branches, int) or branches < 1 or before[1] % branches:
        raise ValueError(f"{name} takes {before[1]} channels, which do not split into {branches} branches")
    layer = LightsegPVM(before[1], after[1], branches)
    stride = [side // smaller for side, smaller in zip(before[2:], after[2:], strict=True)]
    if min(stride) < 1:
        raise ValueError(f"{name} enlarges its map: no PVM layer can stand in for it")
    return layer if max(stride) == 1 else nn.Sequential(Pool[Pool.MAX, len(stride)](tuple(stride)), layer)
