"""The Mamba-1 block.

Paper: A. Gu, T. Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752.
Origin: state-spaces/mamba (Apache-2.0), module `Mamba` of mamba-ssm 1.x; written anew, parameter names kept.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from monai_lightseg.ops import selective_scan

__all__ = ["LightsegMamba"]


class LightsegMamba(nn.Module):
    """Mamba-1 block on a sequence, (B, L, d_model) -> (B, L, d_model); weights of mamba-ssm's `Mamba` load as they are.

    The linear layers and the convolution hold weights and are not called, as in mamba-ssm's fused path: forward hooks
    on them do not fire, and tools that wrap or replace modules do not reach them.

    Args:
        d_model: channels.
        d_state: states per inner channel.
        d_conv: taps of the causal convolution.
        expand: inner channels per channel.
        dt_rank: rank of the step size projection; None for d_model / 16, rounded up.
        dt_min: smallest initial step size.
        dt_max: largest initial step size.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: int = 2,
        dt_rank: int | None = None,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
    ) -> None:
        super().__init__()
        d_inner = expand * d_model
        self.d_state = d_state
        self.dt_rank = math.ceil(d_model / 16) if dt_rank is None else dt_rank
        self.A_log = nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self._init_step_sizes(dt_min, dt_max)

    def _init_step_sizes(self, dt_min: float, dt_max: float) -> None:
        """Start from step sizes spread evenly in the logarithm over dt_min to dt_max, 1e-4 at least."""
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        with torch.no_grad():
            dt = torch.empty_like(self.dt_proj.bias).uniform_(math.log(dt_min), math.log(dt_max)).exp().clamp(min=1e-4)
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of it is dt

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(B, L, d_model) -> (B, L, d_model)."""
        # Channels first all the way, as the convolution and the scan want them; the projections stand on the left.
        x, z = (self.in_proj.weight @ tokens.transpose(1, 2)).chunk(2, dim=1)
        x = functional.pad(x, (self.conv1d.kernel_size[0] - 1, 0))
        x = functional.silu(functional.conv1d(x, self.conv1d.weight, self.conv1d.bias, groups=self.conv1d.groups))
        dt, b, c = (self.x_proj.weight @ x).split([self.dt_rank, self.d_state, self.d_state], dim=1)
        y = selective_scan(
            x,
            self.dt_proj.weight @ dt,
            -torch.exp(self.A_log.to(torch.promote_types(self.A_log.dtype, torch.float32))),
            b,
            c,
            self.D,
            z=z,
            delta_bias=self.dt_proj.bias,
            delta_softplus=True,
        )
        return (self.out_proj.weight @ y).transpose(1, 2)
