"""U-Node: a U-shaped network whose blocks are neural ordinary differential equations.

Paper: H. Pinckaers, G. Litjens, "Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon
Glands", 2019, arXiv 1910.10470.
Origin: DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45; written anew.
"""

from collections.abc import Sequence
from typing import Any

import torch
from monai.networks.layers.utils import get_act_layer
from monai.utils import look_up_option
from torch import nn
from torch.nn import functional

from monai_lightseg.networks.blocks.fan_in_init import init_fan_in
from monai_lightseg.networks.blocks.halving_frame import LightsegHalvingDecoder, LightsegHalvingEncoder
from monai_lightseg.networks.blocks.instance_norm import get_fast_norm_layer
from monai_lightseg.networks.blocks.ode import LightsegODEBlock, ODESolver
from monai_lightseg.networks.registry import NetworkCard, ReportedFigure, register_network
from monai_lightseg.networks.unet_like import UNetLike

__all__ = ["UNode"]


class UNodeTimeConv(nn.Conv2d):
    """3x3 convolution of a plane full of the time and the state behind it, computed without putting the two together.

    A plane of one value only adds that value times a map which does not depend on the state.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels + 1, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, time: float | torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """(B, channels, H, W) -> (B, channels, H, W)."""
        of_time, of_state = self.weight.split([1, x.shape[1]], dim=1)
        plane = functional.conv2d(x.new_ones(1, 1, *x.shape[2:]), time * of_time, padding=1)
        return functional.conv2d(x, of_state, self.bias, padding=1) + plane


class UNodeRate(nn.Module):
    """3x3 convolution, activation, norm, convolution, activation; a norm stands in front where asked for.

    Dependent on time, both convolutions are 3x3 and see it; else the second is 1x1.
    """

    def __init__(
        self,
        channels: int,
        act: str | tuple[str, dict[str, Any]],
        norm: str | tuple[str, dict[str, Any]],
        norm_input: bool,
        time_dependent: bool,
    ) -> None:
        super().__init__()
        self.norm1 = get_fast_norm_layer(norm, channels) if norm_input else nn.Identity()
        self.conv1 = UNodeTimeConv(channels) if time_dependent else nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = get_fast_norm_layer(norm, channels)
        self.conv2 = UNodeTimeConv(channels) if time_dependent else nn.Conv2d(channels, channels, 1)
        self.act = get_act_layer(act)
        self.time_dependent = time_dependent

    def forward(self, x: torch.Tensor, time: float | torch.Tensor) -> torch.Tensor:
        """State (B, channels, H, W) at a time -> its rate of change, of the same shape."""
        seen = (time,) if self.time_dependent else ()
        return self.act(self.conv2(self.norm2(self.act(self.conv1(self.norm1(x), *seen))), *seen))


class UNodeResidual(nn.Module):
    """The state plus its rate of change at time 0: one step of Euler's method, whatever the solver."""

    def __init__(self, rate: nn.Module) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x + self.rate(x, 0.0)


_ADAPTIVE_REASON = "the number of adaptive steps depends on the image; set_solver(network, 'rk4') makes it fixed"


@register_network(
    NetworkCard(
        name="unode",
        title="Neural Ordinary Differential Equations for Semantic Segmentation of Individual Colon Glands",
        year=2019,
        paper="arXiv:1910.10470",
        origin="DIAGNijmegen/neural-odes-segmentation@6dd0505c1f45",
        licence="MIT",
        parameters=2_087_329,
        reference_parameters=(({"out_channels": 2}, 2_087_346),),
        macs_thop=22_722_641_920,
        macs=22_658_678_784,
        flops=45_317_357_568,
        size_multiple=16,
        description="U-shaped network whose blocks are neural ordinary differential equations, solved adaptively.",
        quirks=(
            "The release normalises the state in front of the first convolution and drops the result; "
            "norm_input=True uses it.",
            "The release without time_dependent cannot run: its 1x1 convolution is padded and enlarges the map. Ours "
            "is not padded; with norm_input=True it is what the release meant.",
            "The defaults are those of the release's notebook (leaky ReLU, time dependent); its class has softplus "
            "and time_dependent off.",
            "In the release the gradients that the adjoint starts from are far below atol, as the loss is a mean over "
            "pixels, so that nothing controls their error. Ours are scaled to that size for it, and back, so that "
            "gradient scaling changes nothing.",
            "Adaptive steps keep a mean error over the whole batch, so that an image's result depends on its "
            "companions, to within rtol and atol.",
        ),
        notes=(
            "MACs and FLOPs are those of eight evaluations per block (solver rk4, two steps). The default, dopri5, "
            "takes 20 and more, depending on the image.",
            "ode_in='encoder', the paper's idea for speed, makes the decoder's blocks residual ones of the same "
            "weights: one step of Euler's method. What stands there in the paper is not known; the choice is ours.",
        ),
        parallelized="Its ODE blocks; the choice is ours.",
        not_supported={
            "script": "TorchScript cannot type the list of levels; use torch.export",
            "export": _ADAPTIVE_REASON,
            "onnx": _ADAPTIVE_REASON,
            "independent_batch": "adaptive steps keep a mean error over the batch; set_solver(network, 'rk4') does not",
        },
        reported=(
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", "object Dice", "0.881"),
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", "object F1", "0.861"),
            ReportedFigure("GlaS", "all 80 test images, authors' published model page", "object Hausdorff", "59.5"),
        ),
    )
)
class UNode(UNetLike):
    """U-Node. (B, in_channels, H, W) -> logits (B, out_channels, H, W).

    Args:
        spatial_dims: must be 2.
        in_channels: channels of the image.
        out_channels: channels of the logits; the paper has two, the eroded gland and the gland.
        features: channels per level, shallow to deep; strides 1, 2, 4, ...
        time_dependent: let the rate of change depend on the time.
        norm_input: normalise the state in front of the first convolution as well; False as released.
        ode_in: "all", or "encoder" for residual blocks in the decoder.
        solver: "dopri5" and other adaptive steps, or "rk4", "heun" or "euler"; see ODESolver, as for the arguments
            below. `set_solver` changes them later.
        steps: number of fixed steps.
        checkpoint: with fixed steps, keep only the state at each step for the backward pass.
        rtol: relative tolerance of adaptive steps.
        atol: absolute tolerance of adaptive steps.
        adjoint: with adaptive steps, gradients by the adjoint equation, in constant memory.
        seminorm: leave the gradients of the parameters out of the error that steers the adjoint's steps.
        act: activation, as MONAI names it.
        norm: norm, as MONAI names it.
        dropout: probability, after every block.
        deep_supervision: must be False; the network has no auxiliary outputs.

    Raises:
        ValueError: spatial_dims other than 2, fewer than two levels, an unknown place or solver, or deep supervision
            asked for.
    """

    base_block = LightsegODEBlock

    def __init__(
        self,
        *,
        spatial_dims: int = 2,
        in_channels: int = 3,
        out_channels: int = 1,
        features: Sequence[int] = (16, 32, 64, 128, 256),
        time_dependent: bool = True,
        norm_input: bool = False,
        ode_in: str = "all",
        solver: str = "dopri5",
        steps: int = 2,
        checkpoint: bool = True,
        rtol: float = 1e-3,
        atol: float = 1e-3,
        adjoint: bool = True,
        seminorm: bool = False,
        act: str | tuple[str, dict[str, Any]] = "leakyrelu",
        norm: str | tuple[str, dict[str, Any]] = "instance",
        dropout: float = 0.0,
        deep_supervision: bool = False,
    ) -> None:
        if spatial_dims != 2:
            raise ValueError(f"unode is 2D: spatial_dims must be 2, got {spatial_dims}")
        if len(features) < 2:
            raise ValueError(f"features must name two or more levels, got {tuple(features)}")
        if deep_supervision:
            raise ValueError("unode has no auxiliary outputs: deep_supervision must be False")
        look_up_option(ode_in, ("all", "encoder"))
        ode_solver = ODESolver(solver, steps, checkpoint, rtol, atol, adjoint, seminorm)

        def block(channels: int, is_ode: bool) -> nn.Module:
            rate = UNodeRate(channels, act, norm, norm_input, time_dependent)
            return LightsegODEBlock(rate, ode_solver) if is_ode else UNodeResidual(rate)

        down = [block(width, True) for width in features]
        up = [block(width, ode_in == "all") for width in reversed(features[:-1])]
        super().__init__(
            encoder=LightsegHalvingEncoder(in_channels, features, down, act, dropout),
            decoder=LightsegHalvingDecoder(features, up, out_channels, act, dropout),
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=out_channels,
            encoder_channels=features,
            encoder_strides=[2**i for i in range(len(features))],
        )
        init_fan_in(self)
