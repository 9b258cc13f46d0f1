"""New networks out of given ones: another decoder on the same encoder."""

import copy
from typing import Any

from monai.utils import look_up_option
from torch import nn

from monai_lightseg.networks.adapters import host_encoder
from monai_lightseg.networks.decoders.nmode import NmODEDecoder
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["replace_decoder"]


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
