"""A neural-ODE block: the state at time 1 of dx/dt = f(x, t) with the input as the state at time 0.

Paper: R. T. Q. Chen et al., "Neural Ordinary Differential Equations", NeurIPS 2018, arXiv 1806.07366. The adaptive
solvers and the adjoint are those of rtqichen/torchdiffeq (MIT), which the extra `ode` installs; the fixed-step ones are
written here.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from monai.utils import look_up_option
from torch import nn
from torch.utils.checkpoint import checkpoint

from monai_lightseg.errors import LightsegError

__all__ = ["LightsegODEBlock", "ODESolver", "count_evaluations", "set_solver"]


class _Tableau(NamedTuple):
    """An explicit Runge-Kutta step: when each rate is taken, from which of the rates before it, and their weights."""

    times: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    weights: tuple[float, ...]


_FIXED_STEP = {
    "euler": _Tableau((0,), ((),), (1,)),
    "heun": _Tableau((0, 1), ((), (1,)), (1 / 2, 1 / 2)),
    # Kutta's 3/8 rule, as in torchdiffeq: more exact than the classical weights for the same four evaluations.
    "rk4": _Tableau((0, 1 / 3, 2 / 3, 1), ((), (1 / 3,), (-1 / 3, 1), (1, -1, 1)), (1 / 8, 3 / 8, 3 / 8, 1 / 8)),
}
_ADAPTIVE = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")
_MAX_STEPS = 1000


@dataclass(frozen=True)
class ODESolver:
    """How a block gets from time 0 to time 1.

    Attributes:
        name: fixed steps: "euler", "heun" or "rk4" (1, 2 or 4 evaluations a step; exportable); adaptive steps, through
            torchdiffeq: "dopri5", "dopri8", "bosh3", "fehlberg2" or "adaptive_heun".
        steps: number of fixed steps.
        checkpoint: with fixed steps, keep only the state at each step for the backward pass, which computes the step
            again: the gradients of the steps as taken, in the memory of one step.
        rtol: relative tolerance of adaptive steps; on GPUs that compute convolutions in TF32, one below 1e-3 needs
            `torch.backends.cudnn.allow_tf32 = False`. Their error is a mean over the whole batch, so that an image's
            result depends on its companions, to within the tolerances.
        atol: absolute tolerance of adaptive steps.
        adjoint: with adaptive steps, solve the adjoint equation backwards for the gradients, in constant memory, in
            place of keeping every evaluation. It is solved for a gradient with an absolute sum of one, as a mean over
            pixels gives, whatever the scale of the loss. That lies far below `atol`, as in the release: the steps are
            few, and the error of the gradients is not controlled.
        seminorm: leave the gradients of the parameters out of the error that steers the adjoint's steps, which may
            save some.

    Raises:
        ValueError: an unknown name, less than one step, or a tolerance that is not above 0.
    """

    name: str = "dopri5"
    steps: int = 2
    checkpoint: bool = True
    rtol: float = 1e-3
    atol: float = 1e-3
    adjoint: bool = True
    seminorm: bool = False

    def __post_init__(self) -> None:
        look_up_option(self.name, (*_FIXED_STEP, *_ADAPTIVE))
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a whole number from 1, got {self.steps}")
        if not (self.rtol > 0 and self.atol > 0):
            raise ValueError(f"rtol and atol must be above 0, got {self.rtol} and {self.atol}")

    @property
    def adaptive(self) -> bool:
        """Whether the number of evaluations depends on the input."""
        return self.name in _ADAPTIVE


class LightsegODEBlock(nn.Module):
    """(B, C, *spatial) -> (B, C, *spatial), solved in float32 at least, under autocast too.

    Args:
        rate: f, a module (state (B, C, *spatial), time) -> the same shape; time is a number from 0 to 1 or a tensor
            without axes.
        solver: how it is solved; `set_solver` changes that of a trained network.
    """

    def __init__(self, rate: nn.Module, solver: ODESolver) -> None:
        super().__init__()
        self.rate = rate
        self.solver = solver

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """State at time 0 -> state at time 1, (B, C, *spatial); on the meta device by fixed steps in any case.

        Raises:
            LightsegError: adaptive steps and no torchdiffeq, or more than 1000 of them, or vanishing ones, or a state
                that is not finite.
        """
        state = x.to(torch.promote_types(x.dtype, torch.float32))
        # Nothing on the meta device has a value that steps could adapt to.
        adaptive = self.solver.adaptive and not x.is_meta
        return (self._solve_adaptive(state) if adaptive else self._solve_fixed(state)).to(x.dtype)

    def _evaluate(
        self, state: torch.Tensor, time: float | torch.Tensor, weights: dict[str, torch.Tensor] | None = None
    ) -> torch.Tensor:
        """The rate, of other weights where given, in the dtype of its weights, whatever the state's and autocast's."""
        at = state.to(next(self.rate.parameters(), state).dtype)
        rate = self.rate if weights is None else partial(_call_with, self.rate, weights)
        # Here and not around the solver, as the adjoint evaluates in the backward pass.
        if at.is_meta or not torch.is_autocast_enabled(at.device.type):
            return rate(at, time).to(state.dtype)
        with torch.autocast(at.device.type, enabled=False):
            return rate(at, time).to(state.dtype)

    def _solve_fixed(self, state: torch.Tensor) -> torch.Tensor:
        tableau = _FIXED_STEP["rk4" if self.solver.adaptive else self.solver.name]
        steps = self.solver.steps
        keeps_states_only = self.solver.checkpoint and torch.is_grad_enabled()
        for start, end in pairwise(i / steps for i in range(steps + 1)):
            if keeps_states_only:
                state = checkpoint(self._step, state, start, end - start, tableau, use_reentrant=False)
            else:
                state = self._step(state, start, end - start, tableau)
        return state

    def _step(self, state: torch.Tensor, start: float, length: float, tableau: _Tableau) -> torch.Tensor:
        rates: list[torch.Tensor] = []
        for time, stage in zip(tableau.times, tableau.stages, strict=True):
            rates.append(self._evaluate(_moved(state, stage, rates, length), start + time * length))
        return _moved(state, tableau.weights, rates, length)

    # A compiler would break its graph at every step that depends on a value.
    @torch.compiler.disable
    def _solve_adaptive(self, state: torch.Tensor) -> torch.Tensor:
        try:
            from torchdiffeq import odeint, odeint_adjoint
        except ImportError as error:
            raise LightsegError(
                f"the solver {self.solver.name} needs torchdiffeq: pip install 'monai-lightseg[ode]', or choose fixed "
                "steps with set_solver(network, 'rk4')"
            ) from error
        arguments: dict[str, Any] = {
            "t": torch.tensor([0.0, 1.0], dtype=state.dtype, device=state.device),
            "rtol": self.solver.rtol,
            "atol": self.solver.atol,
            "method": self.solver.name,
            "options": {"max_num_steps": _MAX_STEPS},
        }
        try:
            if not (self.solver.adjoint and torch.is_grad_enabled()):
                return odeint(lambda time, at: self._evaluate(at, time), state, **arguments)[1]
            if self.solver.seminorm:
                arguments["adjoint_options"] = {"max_num_steps": _MAX_STEPS, "norm": "seminorm"}
            names, given = zip(*self.rate.named_parameters(), strict=True)
            scale = _GradientScale()
            start, *scaled = _ScaleBack.apply(scale, state, *given)
            weights = dict(zip(names, scaled, strict=True))
            end = odeint_adjoint(
                lambda time, at: self._evaluate(at, time, weights), start, adjoint_params=tuple(scaled), **arguments
            )[1]
            return _ScaleToOne.apply(scale, end)
        except AssertionError as error:
            if not state.isfinite().all():
                raise LightsegError("the state of an ODE is not finite: check the image and the weights") from error
            reason = str(error).splitlines()[0]
            raise LightsegError(
                f"the solver {self.solver.name} gave up ({reason}): loosen rtol={self.solver.rtol} and "
                f"atol={self.solver.atol}, or choose fixed steps with set_solver(network, 'rk4')"
            ) from error


def _call_with(
    rate: nn.Module, weights: dict[str, torch.Tensor], at: torch.Tensor, time: float | torch.Tensor
) -> torch.Tensor:
    return torch.func.functional_call(rate, weights, (at, time))


class _GradientScale:
    """What a backward pass hands from the end of an ODE to its beginning."""

    value: float = 1.0


class _ScaleToOne(torch.autograd.Function):
    """The end of an ODE as it is; its gradient scaled to a sum of one, or zero where it is not finite."""

    @staticmethod
    def forward(ctx: Any, scale: _GradientScale, end: torch.Tensor) -> torch.Tensor:
        ctx.scale = scale
        return end.view_as(end)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
        total = gradient.abs().sum().item()
        if total > 0 and math.isfinite(total):
            ctx.scale.value = total
            return None, gradient / total
        # No solver takes what is not finite. Gradient scaling relies on seeing it in the gradients of all weights.
        ctx.scale.value = 1.0 if total == 0 else math.nan
        return None, torch.zeros_like(gradient)


class _ScaleBack(torch.autograd.Function):
    """The beginning of an ODE and its weights as they are; their gradients scaled as at the end, the other way."""

    @staticmethod
    def forward(ctx: Any, scale: _GradientScale, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.scale = scale
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, *(gradient * ctx.scale.value for gradient in gradients)


def _moved(state: torch.Tensor, shares: Sequence[float], rates: Sequence[torch.Tensor], length: float) -> torch.Tensor:
    """The state plus `length` times the weighted rates."""
    for share, rate in zip(shares, rates, strict=False):
        state = torch.add(state, rate, alpha=share * length)
    return state


def set_solver(
    network: nn.Module,
    name: str | None = None,
    *,
    steps: int | None = None,
    checkpoint: bool | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    adjoint: bool | None = None,
    seminorm: bool | None = None,
) -> None:
    """Change how every ODE block of `network` is solved, in place; its weights stay, and so does what is not given.

    A network trained near the exact solution may be used with another solver: looser tolerances or fewer steps for
    speed, fixed steps to export it. One trained with few steps has learnt these steps, and a tighter solver then gives
    other masks, not better ones: compare first (docs/neural_odes.md).

    Args:
        network: a network with ODE blocks, such as `unode`.
        name: see ODESolver, as for the arguments below.
        steps: number of fixed steps.
        checkpoint: keep states only.
        rtol: relative tolerance.
        atol: absolute tolerance.
        adjoint: gradients by the adjoint equation.
        seminorm: of the adjoint.

    Raises:
        ValueError: a network without ODE blocks, or a value that ODESolver refuses; the network is then unchanged.
    """
    given = {
        "name": name,
        "steps": steps,
        "checkpoint": checkpoint,
        "rtol": rtol,
        "atol": atol,
        "adjoint": adjoint,
        "seminorm": seminorm,
    }
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    blocks = _ode_blocks(network, "solver could be set").values()
    solvers = [replace(block.solver, **changes) for block in blocks]
    for block, solver in zip(blocks, solvers, strict=True):
        block.solver = solver


@contextmanager
def count_evaluations(network: nn.Module) -> Iterator[Counter[str]]:
    """Count how often each ODE block of `network` evaluates its rate while the context is open, by the block's name.

    Evaluations of a backward pass, where the adjoint equation or checkpointed steps need them, count too if it runs
    inside the context.

    Raises:
        ValueError: a network without ODE blocks.
    """
    blocks = _ode_blocks(network, "evaluations could be counted")
    evaluations: Counter[str] = Counter()
    hooks = [block.rate.register_forward_pre_hook(_adder(evaluations, name)) for name, block in blocks.items()]
    try:
        yield evaluations
    finally:
        for hook in hooks:
            hook.remove()


def _ode_blocks(network: nn.Module, wanted: str) -> dict[str, LightsegODEBlock]:
    """The ODE blocks of `network` by name, at least one."""
    blocks = {name: module for name, module in network.named_modules() if isinstance(module, LightsegODEBlock)}
    if not blocks:
        raise ValueError(f"{type(network).__name__} has no ODE block whose {wanted}")
    return blocks


def _adder(evaluations: Counter[str], name: str) -> Any:
    def add(*_: object) -> None:
        evaluations[name] += 1

    return add
