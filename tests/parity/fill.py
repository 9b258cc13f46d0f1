"""The deterministic fill of weights and inputs behind the parity fixtures.

With phase(key) = sum of the key's UTF-8 bytes modulo 97 and i the C-order index,
    wave  = sin(0.37 i + phase)
    mixed = sin(0.37 i + phase + 3 sin(0.011 (i^2 mod 1000)))
integers are 0, running means 0.05 wave, running variances 1 + 0.1 |wave|, biases 0.05 wave, norm scales 1 + 0.1 wave;
of a Mamba A_log is log(1..N) + 0.05 wave, D and the PVM layer's skip_scale 1 + 0.1 wave, dt_proj.bias wave - 4; the
learned planes and lines of EGE-UNet (params_*) 1 + 0.1 wave;
matrices and kernels gain / sqrt(fan in) * mixed with gain 1 (one input channel), 2.4 (larger 2D kernels) or 1.8.
The fill is computed in float64 and cast last. Inputs are 0.5 + 0.5 sin(0.01 i).
"""

import math

import numpy as np
import torch


def filled_tensor(key: str, shape: list[int], dtype: str) -> torch.Tensor:
    values = np.zeros(shape) if dtype == "int64" else _values(key, shape)
    return torch.from_numpy(np.asarray(values)).to(getattr(torch, dtype))


def filled_input(shape: list[int]) -> torch.Tensor:
    index = np.arange(math.prod(shape), dtype=np.float64)
    return torch.from_numpy((0.5 + 0.5 * np.sin(0.01 * index)).reshape(shape)).float()


def sample_positions(elements: int, count: int = 64) -> torch.Tensor:
    """Flat positions at which the fixtures keep an output of `elements` values."""
    j = torch.arange(count)
    return (j * (elements // count) + 37 * j) % elements


def _values(key: str, shape: list[int]) -> np.ndarray:
    leaf = key.split(".")[-1]
    index = np.arange(math.prod(shape), dtype=np.int64)
    angle = 0.37 * index + sum(key.encode()) % 97
    wave = np.sin(angle).reshape(shape)
    if leaf == "A_log":
        return np.log(np.arange(1, shape[-1] + 1)) + 0.05 * wave
    if leaf in ("D", "skip_scale", "params_xy", "params_zx", "params_zy"):
        return 1 + 0.1 * wave
    if key.endswith("dt_proj.bias"):
        return wave - 4
    if leaf == "running_mean" or leaf == "bias":
        return 0.05 * wave
    if leaf == "running_var":
        return 1 + 0.1 * np.abs(wave)
    if len(shape) == 1:
        return 1 + 0.1 * wave if leaf == "weight" else 0.1 * wave
    mixed = np.sin(angle + 3 * np.sin(0.011 * (index**2 % 1000))).reshape(shape)
    is_large_kernel = len(shape) == 4 and shape[2] * shape[3] > 1
    gain = 1.0 if shape[1] == 1 else 2.4 if is_large_kernel else 1.8
    return gain / math.sqrt(math.prod(shape[1:])) * mixed
