"""Random numbers as a function of (seed, position), so that a resumed training goes on as if it had not stopped.

Two places draw random numbers: worker processes while they augment samples, and the training process (dropout,
sampling of proposals, denoising queries). Neither state survives a stop. Instead, the n-th sample is augmented under a
seed made of n, and the n-th iteration runs under a seed made of n.
"""

import itertools
import random
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS, HOOKS
from mmengine.runner import Runner
from torch.utils.data import Sampler

_ORDER, _SAMPLE, _ITERATION = range(3)
"""Streams of seeds, so that no two uses share one."""


def seed_everything(*key: int) -> None:
    """Seed Python's, NumPy's and torch's generators from ``key``."""
    first, second = _words(*key)
    random.seed(first)
    np.random.seed(first % 2**32)
    torch.manual_seed(second)


def _words(*key: int) -> tuple[int, int]:
    first, second = np.random.SeedSequence(key).generate_state(2, np.uint64)
    return int(first), int(second) >> 1  # torch takes 63 bits


class SampleIndex(int):
    """A data set index that knows under which seed its sample is to be augmented."""

    key: tuple[int, ...]

    def __new__(cls, index: int, key: tuple[int, ...]) -> "SampleIndex":
        """Args: ``index`` into the data set; ``key`` for :func:`seed_everything`."""
        self = super().__new__(cls, index)
        self.key = key
        return self

    def __getnewargs__(self) -> tuple[int, tuple[int, ...]]:  # type: ignore[override]
        return int(self), self.key


class _SeededFetch:
    """torch's ``__getitems__`` protocol for any data set: seed, then fetch, one index after the other."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        samples = []
        for index in indices:
            if isinstance(index, SampleIndex):
                seed_everything(*index.key)
            samples.append(self.dataset[index])
        return samples


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler[int]):
    """Shuffled indices and augmentation seeds, both a function of (seed, position).

    All ranks walk one endless stream, a fresh permutation of the data set after the other; of ``world_size`` ranks,
    rank ``r`` takes positions ``r, r + world_size, ...``. Position ``n`` is augmented under a seed made of ``n``.

    Args:
        dataset: anything with a length; it is given the ``__getitems__`` through which torch's loader fetches a batch.
        shuffle: draw permutations; otherwise in order.
        seed: the same on all ranks; None draws one.
        infinite: never end, for iteration-based training; otherwise end after an epoch.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, infinite: bool = True) -> None:
        self.dataset = dataset
        self.size = len(dataset)
        self.shuffle = shuffle
        self.seed: int = sync_random_seed() if seed is None else seed
        self.infinite = infinite
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self.skipped = 0
        dataset.__getitems__ = _SeededFetch(dataset)  # type: ignore[attr-defined]

    def __len__(self) -> int:
        """Samples of one epoch on this rank; the whole data set if the stream is endless, as mmengine counts."""
        return self.size if self.infinite else -(-self.size // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Start the next iterator at this epoch's samples (not used by an endless stream)."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Start the next iterator after this rank's first ``num_samples`` samples, counted from the very first."""
        self.skipped = num_samples

    def __iter__(self) -> Iterator[int]:
        """Yield :class:`SampleIndex`."""
        first = self.skipped if self.infinite else max(self.skipped, self.epoch * len(self))
        present, order = 0, self._permutation(0)
        for step in itertools.count(first):
            if not self.infinite and step >= (self.epoch + 1) * len(self):
                return
            position = step * self.world_size + self.rank
            round_, place = divmod(position, self.size)
            if round_ != present:
                present, order = round_, self._permutation(round_)
            yield SampleIndex(order[place], (self.seed, _SAMPLE, position))

    def _permutation(self, round_: int) -> Sequence[int]:
        if not self.shuffle:
            return range(self.size)
        generator = np.random.default_rng(_words(self.seed, _ORDER, round_))
        order: list[int] = generator.permutation(self.size).tolist()
        return order


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seed the training process before each iteration, and the sampler when training goes on from a checkpoint."""

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the checkpoint's seed, which is the runner's by now; find the place in an epoch."""
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, SeededSampler):
            runner.logger.warning(
                f"{type(sampler).__name__}: a resumed training will not see the samples of an uninterrupted one; "
                "SeededSampler does that"
            )
            return
        sampler.seed = runner.seed
        if not sampler.infinite:
            batches = len(runner.train_dataloader)
            done = runner.iter - runner.epoch * batches
            sampler.skip(runner.epoch * len(sampler) + done * runner.train_dataloader.batch_size)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed dropout and its like from (seed, iteration, rank)."""
        seed_everything(runner.seed, _ITERATION, runner.iter, runner.rank)
