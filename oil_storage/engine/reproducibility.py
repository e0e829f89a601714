"""Derive random numbers from the number of the sample or iteration, so that a resumed training equals any other.

Random numbers are drawn in the worker processes (augmentation) and in the training process (dropout, sampling of
proposals, denoising queries). The state of these generators is lost when training stops. Therefore they are seeded
again before each sample and each iteration, from the number of the sample or iteration.
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
"""Keys of independent seeds for the sample order, the augmentation and the training process."""


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
    """Index of a sample, with the seed of its augmentation."""

    key: tuple[int, ...]

    def __new__(cls, index: int, key: tuple[int, ...]) -> "SampleIndex":
        """Create an index into the data set, with a key for :func:`seed_everything`."""
        self = super().__new__(cls, index)
        self.key = key
        return self

    def __getnewargs__(self) -> tuple[int, tuple[int, ...]]:  # type: ignore[override]
        return int(self), self.key


class _SeededFetch:
    """Replacement for ``__getitems__`` of a data set: load a batch, and seed the generators before each sample."""

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
    """Sampler whose indices and augmentation seeds depend only on the seed and the position.

    All ranks share an endless stream of permutations of the data set. Rank ``r`` of ``world_size`` ranks takes the
    positions ``r``, ``r + world_size`` and so on. The augmentation at position ``n`` is seeded with ``seed`` and ``n``.

    Args:
        dataset: data set to sample. Its ``__getitems__``, with which torch loads batches, is replaced.
        shuffle: draw a new random order for each epoch; otherwise keep the order of the data set.
        seed: random seed, equal on all ranks; None draws one.
        infinite: never end, for iteration-based training; otherwise end after each epoch.
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
        """Return the number of samples per epoch on this rank.

        If ``infinite``, return the size of the data set, as mmengine's ``InfiniteSampler`` does.
        """
        return self.size if self.infinite else -(-self.size // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Start the next iterator at the first sample of ``epoch``. An endless stream ignores the epoch."""
        self.epoch = epoch

    def skip(self, num_samples: int) -> None:
        """Start the next iterator after the first ``num_samples`` samples of this rank."""
        self.skipped = num_samples

    def __iter__(self) -> Iterator[int]:
        """Yield a :class:`SampleIndex` for each sample."""
        first = self.skipped if self.infinite else max(self.skipped, self.epoch * len(self))
        present, order = 0, self._permutation(0)
        for step in itertools.count(first):
            if not self.infinite and step >= (self.epoch + 1) * len(self):
                return
            position = step * self.world_size + self.rank
            round_, index = divmod(position, self.size)
            if round_ != present:
                present, order = round_, self._permutation(round_)
            yield SampleIndex(order[index], (self.seed, _SAMPLE, position))

    def _permutation(self, round_: int) -> Sequence[int]:
        if not self.shuffle:
            return range(self.size)
        generator = np.random.default_rng(_words(self.seed, _ORDER, round_))
        order: list[int] = generator.permutation(self.size).tolist()
        return order


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Hook that seeds the training process before each iteration, and sets the seed and position of the sampler."""

    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Set the sampler's seed to the runner's seed. For epoch-based training, also set the sampler's position."""
        sampler = runner.train_dataloader.sampler
        if not isinstance(sampler, SeededSampler):
            runner.logger.warning(f"{type(sampler).__name__}: resumption is not reproducible; use SeededSampler")
            return
        sampler.seed = runner.seed
        if not sampler.infinite:
            batches = len(runner.train_dataloader)
            done = runner.iter - runner.epoch * batches
            sampler.skip(runner.epoch * len(sampler) + done * runner.train_dataloader.batch_size)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the generators with (seed, iteration, rank)."""
        seed_everything(runner.seed, _ITERATION, runner.iter, runner.rank)
