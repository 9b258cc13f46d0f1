"""Batches that depend on a seed and their number alone, not on which process draws them, nor on when."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.multi_threaded_augmenter import MultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader

__all__ = ["NumberedBatches", "numbered_augmenter", "seed_generators"]


def seed_generators(*entropy: int) -> int:
    """Seed the generators of Python, numpy and torch on the CPU, which nnU-Net's sampling and augmentation draw from.

    Args:
        entropy: numbers that together name what is drawn; other numbers give unrelated streams.

    Returns:
        The seed that torch got.
    """
    state = np.random.SeedSequence(entropy).generate_state(4, np.uint64)
    random.seed(int(state[0]))
    np.random.seed(state.view(np.uint32))
    # Not torch.manual_seed, which would also set back the generators of the devices that train.
    torch.default_generator.manual_seed(int(state[1]))
    return int(state[1])


class NumberedBatches:
    """A data loader of nnU-Net whose batch number n is always the same batch, and leaves the generators as they were.

    Args:
        loader: draws a batch with the generators that `seed_generators` seeds.
        entropy: of the whole stream.
        first: number of the first batch.
        step: from one batch to the next; the number of processes that share the stream.
    """

    def __init__(self, loader: nnUNetDataLoader, entropy: tuple[int, ...], first: int, step: int) -> None:
        self.loader = loader
        self.entropy = entropy
        self.number = first
        self.step = step

    def set_thread_id(self, thread_id: int) -> None:
        """Take up this process's share of the numbers; batchgenerators calls it once in each of its workers."""
        self.loader.set_thread_id(thread_id)
        self.number += thread_id
        # As nnU-Net's own workers: each computes in one thread, there being many of them.
        torch.set_num_threads(1)

    def __iter__(self) -> "NumberedBatches":
        return self

    def __next__(self) -> dict[str, Any]:
        """Data (B, C, H, W), target (B, 1, H, W) and the keys of the cases."""
        with _generators_put_back():
            seed_generators(*self.entropy, self.number)
            self.number += self.step
            return next(self.loader)


def numbered_augmenter(
    loader: nnUNetDataLoader, entropy: tuple[int, ...], *, first: int, workers: int, pin_memory: bool
) -> MultiThreadedAugmenter | SingleThreadedAugmenter:
    """The numbered batches of `loader` in their order, drawn by `workers` processes, or by this one for 0."""
    _fix_blur(loader)
    batches = NumberedBatches(loader, entropy, first, max(1, workers))
    if workers == 0:
        return SingleThreadedAugmenter(batches, None)
    # It asks its workers in turn, each through a queue of its own, so worker k of n draws the numbers k, k + n, ...
    return MultiThreadedAugmenter(
        batches, None, workers, num_cached_per_queue=1, pin_memory=pin_memory, wait_time=0.002
    )


def _fix_blur(loader: nnUNetDataLoader) -> None:
    """Have the blur convolve: nnU-Net's times convolution against FFT and keeps the faster, and the two round apart."""
    for transform in loader.transforms.transforms:
        inner = getattr(transform, "transform", transform)
        if isinstance(inner, GaussianBlurTransform):
            inner.benchmark = False


@contextmanager
def _generators_put_back() -> Iterator[None]:
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
