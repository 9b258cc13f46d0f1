"""Parameters of state-space blocks as functions of their sizes: what makes them large, and what PVM layers save."""

from monai.utils import look_up_option

__all__ = ["mamba_parameters", "pvm_parameters", "vss_parameters"]

COUNTINGS = ("as_built", "as_in_paper")


def mamba_parameters(
    channels: int,
    *,
    state: int = 16,
    conv: int = 4,
    expand: int = 2,
    rank: int | None = None,
    counting: str = "as_built",
) -> int:
    """Number of values in all parameters of one Mamba-1 block.

    Counted: in_proj, depthwise 1D convolution with bias, x_proj, dt_proj with bias, A_log, D, out_proj.

    Args:
        channels: width of the block's input and output, in channels.
        state: length of the state of one inner channel.
        conv: kernel size of the convolution, in tokens.
        expand: inner channels per channel.
        rank: values per token that the step sizes are made from; None is channels / 16, rounded up.
        counting: "as_built", or "as_in_paper" as the UltraLight VM-UNet paper counts: the convolution as a dense one.

    Raises:
        ValueError: a size is below 1, or `counting` is unknown.
    """
    rank = _rank(channels) if rank is None else rank
    _check_positive(channels=channels, state=state, conv=conv, expand=expand, rank=rank)
    inner = expand * channels
    return _projections(channels, inner) + _convolution(inner, conv, counting) + _scan(inner, state, rank)


def vss_parameters(
    channels: int,
    *,
    state: int = 16,
    conv: int = 3,
    expand: int = 2,
    rank: int | None = None,
    directions: int = 4,
    counting: str = "as_built",
) -> int:
    """Number of values in all parameters of the 2D selective scan (SS2D) of one VSS block.

    Counted: in_proj, depthwise 2D convolution with bias, for every direction x_proj, dt_proj with bias, A_log and D,
    the output norm, out_proj. The norm in front of the SS2D is not counted.

    Args:
        channels: width of the block's input and output, in channels.
        state: length of the state of one inner channel.
        conv: side of the square kernel of the convolution, in pixels.
        expand: inner channels per channel.
        rank: values per token that the step sizes are made from; None is channels / 16, rounded up.
        directions: number of scan directions.
        counting: "as_built", or "as_in_paper" as the UltraLight VM-UNet paper counts: the convolution as a dense one.

    Raises:
        ValueError: a size is below 1, or `counting` is unknown.
    """
    rank = _rank(channels) if rank is None else rank
    _check_positive(channels=channels, state=state, conv=conv, expand=expand, rank=rank, directions=directions)
    inner = expand * channels
    output_norm = 2 * inner
    scans = directions * _scan(inner, state, rank)
    return _projections(channels, inner) + _convolution(inner, conv**2, counting) + scans + output_norm


def pvm_parameters(
    in_channels: int, out_channels: int, *, branches: int = 4, state: int = 16, conv: int = 4, expand: int = 2
) -> int:
    """Number of values in all parameters of one parallel vision Mamba (PVM) layer.

    Counted: the layer norm, the linear layer with bias, the skip scale, and the one Mamba block of
    in_channels / branches channels that all branches share.

    Args:
        in_channels: channels of the layer's input.
        out_channels: channels of the layer's output.
        branches: number of equal parts that the input channels are split into.
        state: length of the state of one inner channel of the Mamba block.
        conv: kernel size of its convolution, in tokens.
        expand: its inner channels per channel.

    Raises:
        ValueError: a size is below 1, or `in_channels` is not a multiple of `branches`.
    """
    _check_positive(in_channels=in_channels, out_channels=out_channels, branches=branches)
    if in_channels % branches:
        raise ValueError(
            f"in_channels must be a multiple of branches, got {in_channels} and {branches}: change one of them"
        )
    norm, linear, skip_scale = 2 * in_channels, in_channels * out_channels + out_channels, 1
    return norm + linear + skip_scale + mamba_parameters(in_channels // branches, state=state, conv=conv, expand=expand)


def _rank(channels: int) -> int:
    """Channels / 16, rounded up."""
    return -(-channels // 16)


def _projections(channels: int, inner: int) -> int:
    """in_proj (to the scanned half and the gate) and out_proj, both without bias."""
    return 3 * channels * inner


def _convolution(inner: int, kernel: int, counting: str) -> int:
    """The convolution with bias; `kernel` is the number of its taps."""
    look_up_option(counting, COUNTINGS)
    inputs_per_output = inner if counting == "as_in_paper" else 1
    return inner * inputs_per_output * kernel + inner


def _scan(inner: int, state: int, rank: int) -> int:
    """One direction: x_proj (to the rank, B and C), dt_proj with bias, A_log and D."""
    return inner * (rank + 2 * state) + inner * (rank + 1) + inner * state + inner


def _check_positive(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be positive, got {size}: give a whole number of 1 or more")
