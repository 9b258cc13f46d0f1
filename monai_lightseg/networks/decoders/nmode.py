"""nmODE decoders: one step of y' = -y + f(y + g(x)) per encoder level, the state y at full resolution.

Paper: "Lightweight nmODE Decoders For U-like networks", IJCAI 2024, pp. 821-829, arXiv 2412.06262.
Origin: nayutayuki/Lightweight-nmODE-Decoders-For-U-like-networks (no licence stated); written anew from the formulas.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.networks.layers.factories import Conv, Norm
from monai.networks.layers.utils import get_act_layer
from monai.utils import look_up_option
from torch import nn
from torch.nn import functional

from monai_lightseg.networks.blocks.few_channel_conv import few_channel_conv2d, few_channel_conv2d_pays
from monai_lightseg.networks.unet_like import per_axis

__all__ = ["ORDERINGS", "SOLVERS", "NmODEDecoder"]

SOLVERS = ("euler", "heun", "multistep")
ORDERINGS = ("C_RB", "C_BR", "CR_B", "CB_R")


def _upsample(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(B, C, *) -> (B, C, *size), linear, corners not aligned."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode="bilinear" if x.ndim == 4 else "trilinear")


def _normalise(norm: Any, v: torch.Tensor) -> torch.Tensor:
    """`norm` of `v` in the dtype of `v`, also where the network and so the norm's weights were cast to half."""
    if isinstance(norm, nn.Identity) or norm.weight.dtype == v.dtype:
        return norm(v)
    if norm.training:
        return norm(v.to(norm.weight.dtype)).to(v.dtype)
    mean, variance = norm.running_mean.to(v.dtype), norm.running_var.to(v.dtype)
    return functional.batch_norm(v, mean, variance, norm.weight.to(v.dtype), norm.bias.to(v.dtype), eps=norm.eps)


class NmODEInput(nn.Module):
    """The input map g: features (B, in_channels, *) -> (B, state_channels, *) at their own resolution, float32 or more.

    A convolution, followed by the ReLU (ordering CR_B) or the batch norm (CB_R) that stands before the underscore.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, state_channels: int, kernel_size: int, ordering: str
    ) -> None:
        super().__init__()
        self.conv = Conv[Conv.CONV, spatial_dims](
            in_channels, state_channels, kernel_size, padding=(kernel_size - 1) // 2
        )
        self.norm = Norm[Norm.BATCH, spatial_dims](state_channels) if ordering == "CB_R" else nn.Identity()
        self.act = nn.ReLU() if ordering == "CR_B" else nn.Identity()

    def forward(self, x: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """Map `x` times the scalar `weight`; scaling the kernel instead spares a pass over the features."""
        kernel = self.conv.weight if weight is None else self.conv.weight * weight
        if not self.training and few_channel_conv2d_pays(x, kernel):
            g = few_channel_conv2d(x, kernel, self.conv.bias)
        elif weight is None:
            g = self.conv(x)
        else:
            g = self.conv._conv_forward(x, kernel, self.conv.bias)
        return self.act(_normalise(self.norm, g.float() if g.dtype in (torch.float16, torch.bfloat16) else g))


class NmODERate(nn.Module):
    """The map sigma (f of the paper): what stands behind the underscore of the ordering."""

    norm: Any  # a batch norm, or an identity where the ordering puts it into g

    def __init__(self, spatial_dims: int, state_channels: int, ordering: str) -> None:
        super().__init__()
        self.norm = nn.Identity() if ordering == "CB_R" else Norm[Norm.BATCH, spatial_dims](state_channels)
        self.act_first = nn.ReLU() if ordering == "C_RB" else nn.Identity()
        self.act_last = nn.ReLU() if ordering in ("C_BR", "CB_R") else nn.Identity()
        self.is_affine = ordering == "CR_B"

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """(B, state_channels, *spatial) -> the same shape."""
        return self.act_last(_normalise(self.norm, self.act_first(v)))

    def affine(self, ndim: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale and shift of the batch norm in eval, shaped (state_channels, 1, ...) to broadcast over `ndim` axes."""
        shape = (-1,) + (1,) * (ndim - 2)
        dtype = torch.promote_types(self.norm.weight.dtype, torch.float32)
        statistics = (self.norm.running_mean, self.norm.running_var, self.norm.weight, self.norm.bias)
        mean, variance, weight, bias = (values.to(dtype) for values in statistics)
        scale = weight / torch.sqrt(variance + self.norm.eps)
        return scale.reshape(shape), (bias - mean * scale).reshape(shape)


class NmODEStep(nn.Module):
    """Parts that the three solvers' steps share.

    In eval, where sigma is affine per channel (ordering CR_B), each step collapses to y <- a * y + upsample(b): linear
    interpolation and an affine map per channel commute, so all constants go into the small maps before upsampling.

    Args:
        channels: channels of the level this step reads.
        delta: step length.
        weight_names: names of the scalars that are learned if `learnable_weights`; all 1 otherwise.
    """

    def __init__(
        self,
        *,
        spatial_dims: int,
        channels: int,
        state_channels: int,
        kernel_size: int,
        ordering: str,
        delta: float,
        weight_names: Sequence[str],
        learnable_weights: bool,
    ) -> None:
        super().__init__()
        self.delta = delta
        self.g = NmODEInput(spatial_dims, channels, state_channels, kernel_size, ordering)
        self.sigma = NmODERate(spatial_dims, state_channels, ordering)
        self.weight_names = tuple(weight_names)
        self.weights = nn.Parameter(torch.ones(len(self.weight_names))) if learnable_weights else None

    def weight(self, name: str) -> torch.Tensor | None:
        """The learned scalar called `name`, or None where weights are constant 1."""
        return None if self.weights is None else self.weights[self.weight_names.index(name)]

    def weighted(self, name: str, y: torch.Tensor) -> torch.Tensor:
        """`y` times the scalar called `name`."""
        weight = self.weight(name)
        return y if weight is None else weight * y

    def collapses(self) -> bool:
        """Whether sigma is one affine map per channel now."""
        return self.sigma.is_affine and not self.sigma.norm.training and self.sigma.norm.track_running_stats


class EulerStep(NmODEStep):
    """y <- (1 - d) y + d sigma(y + up(g(x)))."""

    def forward(self, y: torch.Tensor, x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """State (B or 1, C, *) and features of one level -> next state (B, C, *size)."""
        d = self.delta
        y = self.weighted("y", y)
        g = self.g(x, self.weight("x"))
        if self.collapses():
            scale, shift = self.sigma.affine(g.ndim)
            return torch.addcmul(_upsample(torch.addcmul(d * shift, d * scale, g), size), 1 - d + d * scale, y)
        return (1 - d) * y + d * self.sigma(y + _upsample(g, size))


class HeunStep(NmODEStep):
    """k = -y + sigma(y + up(g(x))); y <- (1 - d/2) y + (d/2) [(1 - d) k + sigma(y + d k + up(g_post(x_post)))].

    `x_post` is the next level towards full resolution. sigma and its batch norm are shared by both evaluations, so
    the running statistics move twice per training step.
    """

    def __init__(self, *, channels_post: int, **step_arguments: Any) -> None:
        super().__init__(**step_arguments)
        self.g_post = NmODEInput(
            step_arguments["spatial_dims"],
            channels_post,
            step_arguments["state_channels"],
            step_arguments["kernel_size"],
            step_arguments["ordering"],
        )

    def forward(self, y: torch.Tensor, x: torch.Tensor, x_post: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """State (B or 1, C, *) and features of this and the next level -> next state (B, C, *size)."""
        d = self.delta
        y = self.weighted("y", y)
        g = self.g(x, self.weight("x"))
        g_post = self.g_post(x_post, self.weight("x_post"))
        if self.collapses():
            scale, shift = self.sigma.affine(g.ndim)
            slope = 1 - d + d * scale
            keep = 1 - d / 2 + d / 2 * (slope * (scale - 1) + scale)
            small = torch.addcmul(d / 2 * (slope + 1) * shift, d / 2 * slope * scale, g)
            small_post = d / 2 * scale * g_post
            return torch.addcmul(_upsample(small, size) + _upsample(small_post, size), keep, y)
        k = -y + self.sigma(y + _upsample(g, size))
        return (1 - d / 2) * y + d / 2 * ((1 - d) * k + self.sigma(y + d * k + _upsample(g_post, size)))


class MultistepStep(NmODEStep):
    """y <- y_pre + sign 2 d y + 2 d sigma(y + up(g(x))); sign +1 as released, -1 for the midpoint rule."""

    def __init__(self, *, sign: int, **step_arguments: Any) -> None:
        super().__init__(**step_arguments)
        self.sign = sign

    def forward(self, y_pre: torch.Tensor, y: torch.Tensor, x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
        """States two and one steps back and features of one level -> next state (B, C, *size)."""
        d = self.delta
        y_pre = self.weighted("y_pre", y_pre)
        y = self.weighted("y", y)
        g = self.g(x, self.weight("x"))
        if self.collapses():
            scale, shift = self.sigma.affine(g.ndim)
            small = torch.addcmul(2 * d * shift, 2 * d * scale, g)
            return torch.addcmul(_upsample(small, size) + y_pre, 2 * d * (self.sign + scale), y)
        return y_pre + self.sign * 2 * d * y + 2 * d * self.sigma(y + _upsample(g, size))


class NmODEDecoder(nn.Module):
    """Decoder for any pyramid: the state y walks from the deepest level to the shallowest, one solver step per level.

    The state has `state_channels` channels at the output size, in float32 at least. The step length is 1 / levels.
    `act` and `dropout` follow every step (no `act` after the last), then a 1x1 convolution gives the logits.

    Args:
        encoder_channels: channels of each level, shallow to deep.
        encoder_strides: output size over level size, shallow to deep, one integer or one per axis each.
        out_channels: channels of the logits.
        spatial_dims: 2 or 3.
        solver: "euler" (EED), "heun" (HD; the last step is Euler's) or "multistep" (LMD; the first step is Euler's).
        ordering: where the underscore parts g from sigma among Convolution, ReLU and Batch norm: "C_RB", "C_BR",
            "CR_B" (as trained by the authors) or "CB_R".
        state_channels: channels of y; None for max(3, out_channels).
        kernel_size: of the convolution in g; odd.
        act: activation between steps, as MONAI names it.
        dropout: probability, after every step.
        multistep_form: "released" adds 2 d y as the authors' code does; "midpoint" subtracts it, as the midpoint rule
            of the equation would.
        learnable_start: learn the start state, one value per channel from 0; otherwise it is 0.
        learnable_weights: learn the scalars before x and y in every step, from 1; otherwise they are 1. (The released
            code has switches for both, but makes the parameters anew in every forward, so they never train.)

    Raises:
        ValueError: an unknown name, an even kernel, channels below 1, other dimensions than 2 and 3, an empty pyramid
            or one not ordered shallow to deep.
    """

    def __init__(
        self,
        encoder_channels: Sequence[int],
        encoder_strides: Sequence[int | Sequence[int]],
        out_channels: int,
        *,
        spatial_dims: int = 2,
        solver: str = "euler",
        ordering: str = "CR_B",
        state_channels: int | None = None,
        kernel_size: int = 3,
        act: str | tuple[str, dict[str, Any]] = "gelu",
        dropout: float = 0.0,
        multistep_form: str = "released",
        learnable_start: bool = False,
        learnable_weights: bool = False,
    ) -> None:
        super().__init__()
        look_up_option(solver, SOLVERS)
        look_up_option(ordering, ORDERINGS)
        look_up_option(multistep_form, ("released", "midpoint"))
        _check_pyramid(encoder_channels, [per_axis(stride, spatial_dims) for stride in encoder_strides])
        state_channels = max(3, out_channels) if state_channels is None else state_channels
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        if state_channels < 1 or out_channels < 1:
            raise ValueError(f"state_channels and out_channels must be positive: {state_channels}, {out_channels}")
        self.levels = len(encoder_channels)
        deep_to_shallow = list(reversed(encoder_channels))
        shared: dict[str, Any] = {
            "spatial_dims": spatial_dims,
            "state_channels": state_channels,
            "kernel_size": kernel_size,
            "ordering": ordering,
            "delta": 1 / self.levels,
            "learnable_weights": learnable_weights,
        }
        steps: list[NmODEStep] = []
        for i, channels in enumerate(deep_to_shallow):
            if solver == "heun" and i < self.levels - 1:
                steps.append(
                    HeunStep(
                        channels=channels,
                        channels_post=deep_to_shallow[i + 1],
                        weight_names=("x", "x_post", "y"),
                        **shared,
                    )
                )
            elif solver == "multistep" and i > 0:
                sign = 1 if multistep_form == "released" else -1
                steps.append(MultistepStep(channels=channels, sign=sign, weight_names=("x", "y_pre", "y"), **shared))
            else:
                steps.append(EulerStep(channels=channels, weight_names=("x", "y"), **shared))
        self.steps = nn.ModuleList(steps)
        self.act = get_act_layer(act)
        self.dropout = nn.Dropout(dropout)
        self.head = Conv[Conv.CONV, spatial_dims](state_channels, out_channels, 1)
        # One value per channel, because the state has no fixed size.
        start = torch.zeros((1, state_channels) + (1,) * spatial_dims)
        self.start_state: torch.Tensor
        if learnable_start:
            self.start_state = nn.Parameter(start)
        else:
            self.register_buffer("start_state", start, persistent=False)

    def forward(self, pyramid: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Pyramid, shallow to deep, levels (B, C_i, *) -> logits (B, out_channels, *size).

        Raises:
            ValueError: the pyramid has another number of levels than the decoder.
        """
        if len(pyramid) != self.levels:
            raise ValueError(f"the decoder was built for {self.levels} levels, the pyramid has {len(pyramid)}")
        levels = list(reversed(pyramid))
        y_pre = y = self.start_state
        for i, step in enumerate(self.steps):
            if isinstance(step, HeunStep):
                after = step(y, levels[i], levels[i + 1], size)
            elif isinstance(step, MultistepStep):
                after = step(y_pre, y, levels[i], size)
            else:
                after = step(y, levels[i], size)
            if i < self.levels - 1:
                after = self.act(after)
            y_pre, y = y, self.dropout(after)
        return self.head(y.to(self.head.weight.dtype))


def _check_pyramid(channels: Sequence[int], strides: Sequence[tuple[int, ...]]) -> None:
    if len(channels) == 0 or len(channels) != len(strides):
        raise ValueError(
            "encoder_channels and encoder_strides must have one entry per level, "
            f"got {len(channels)} and {len(strides)}"
        )
    for finer, coarser in pairwise(strides):
        if any(a > b for a, b in zip(finer, coarser, strict=True)):
            raise ValueError(f"encoder_strides must go from shallow to deep, got {list(strides)}")
