"""U-Net encoder with an nmODE decoder.

Paper: "Lightweight nmODE Decoders For U-like networks", IJCAI 2024, pp. 821-829, arXiv 2412.06262.
Origin: nayutayuki/Lightweight-nmODE-Decoders-For-U-like-networks (no licence stated); written anew.
"""

from collections.abc import Sequence
from typing import Any

from monai_lightseg.networks.blocks.double_conv import LightsegDoubleConv, LightsegDoubleConvEncoder
from monai_lightseg.networks.decoders.nmode import NmODEDecoder
from monai_lightseg.networks.registry import NetworkCard, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["NmODEUNet"]


@register_network(
    NetworkCard(
        name="nmode_unet",
        title="Lightweight nmODE Decoders For U-like networks",
        year=2024,
        paper="arXiv:2412.06262",
        origin="nayutayuki/Lightweight-nmODE-Decoders-For-U-like-networks@0fb705741b30",
        licence="none stated",
        parameters=9_450_673,
        reference_parameters=(
            ({"solver": "euler"}, 9_450_673),
            ({"solver": "heun"}, 9_476_605),
            ({"solver": "multistep"}, 9_450_673),
            ({"solver": "heun", "ordering": "CB_R"}, 9_476_629),
        ),
        macs_thop=14_892_728_320,
        macs=14_824_833_024,
        flops=29_649_666_048,
        size_multiple=16,
        description="The U-Net encoder with one explicit solver step of an nmODE per level as its decoder.",
        quirks=(
            "The origin ends in a sigmoid; ours gives logits.",
            "The released multistep decoder adds 2 d y where the midpoint rule subtracts it; "
            'multistep_form="midpoint" gives the rule.',
            "The released start state and step weights never train; learnable_start and learnable_weights train them.",
            "The released networks use ordering CR_B only; the other three are defined there but unused.",
        ),
        parallelized="All double convolutions of its encoder but the first.",
        not_supported={"script": "TorchScript cannot type the list of levels; use torch.export"},
    )
)
class NmODEUNet(UNetLike):
    """U-Net encoder, nmODE decoder. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: 2 or 3.
        in_channels: channels of the image.
        out_channels: channels of the logits.
        features: encoder channels per level, shallow to deep; strides 1, 2, 4, ...
        solver: "euler", "heun" or "multistep".
        ordering: "C_RB", "C_BR", "CR_B" or "CB_R"; see NmODEDecoder.
        state_channels: channels of the decoder's state; None for max(3, out_channels).
        kernel_size: of the decoder's convolutions; odd.
        multistep_form: "released" or "midpoint".
        learnable_start: learn the start state.
        learnable_weights: learn the scalars of every step.
        act: activation between decoder steps, as MONAI names it; the encoder's is ReLU.
        norm: norm of the encoder, as MONAI names it; the decoder's is part of its ordering.
        dropout: probability, after every decoder step.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: see NmODEDecoder; or deep supervision asked for.
    """

    base_block = LightsegDoubleConv

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (64, 128, 256, 512, 512),
        solver: str = "euler",
        ordering: str = "CR_B",
        state_channels: int | None = None,
        kernel_size: int = 3,
        multistep_form: str = "released",
        learnable_start: bool = False,
        learnable_weights: bool = False,
        act: str | tuple[str, dict[str, Any]] = "gelu",
        norm: str | tuple[str, dict[str, Any]] = "batch",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if deep_supervision:
            raise ValueError("nmode_unet has no auxiliary outputs: deep_supervision must be False")
        strides = [2**i for i in range(len(features))]
        super().__init__(
            encoder=LightsegDoubleConvEncoder(spatial_dims, in_channels, features, norm=norm),
            decoder=NmODEDecoder(
                features,
                strides,
                out_channels,
                spatial_dims=spatial_dims,
                solver=solver,
                ordering=ordering,
                state_channels=state_channels,
                kernel_size=kernel_size,
                act=act,
                dropout=dropout,
                multistep_form=multistep_form,
                learnable_start=learnable_start,
                learnable_weights=learnable_weights,
            ),
            spatial_dims=spatial_dims,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=strides,
        )
