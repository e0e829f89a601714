import itertools
import pickle
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from oil_storage.engine import reproducibility
from oil_storage.engine.reproducibility import SampleIndex, SeededSampler, seed_everything


class Noise:
    """Data set whose samples are random numbers from all three generators."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> tuple[int, float, float, float]:
        return int(index), random.random(), float(np.random.rand()), float(torch.rand(()))


def take(sampler: SeededSampler, count: int) -> list[int]:
    return list(itertools.islice(sampler, count))


def batches(count: int, skip: int = 0, workers: int = 0, seed: int = 0) -> list[Sequence[object]]:
    sampler = SeededSampler(Noise(), seed=seed)
    sampler.skip(skip * 2)
    return list(itertools.islice(DataLoader(sampler.dataset, 2, sampler=sampler, num_workers=workers), count))


def test_each_round_is_a_different_permutation() -> None:
    rounds = np.array(take(SeededSampler(Noise(), seed=3), 28)).reshape(4, 7)
    assert (np.sort(rounds) == np.arange(7)).all()
    assert len({tuple(r) for r in rounds}) == 4


def test_order_without_shuffling_is_that_of_the_data_set() -> None:
    assert take(SeededSampler(Noise(), shuffle=False, seed=0), 10) == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]


def test_ranks_share_one_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = take(SeededSampler(Noise(), seed=5), 30)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(reproducibility, "get_dist_info", lambda rank=rank: (rank, 3))
        shares.append(take(SeededSampler(Noise(), seed=5), 10))
    assert list(itertools.chain.from_iterable(zip(*shares, strict=True))) == stream
    keys = [index.key for share in shares for index in share]  # type: ignore[attr-defined]
    assert len(set(keys)) == 30


def test_skip_yields_the_rest_of_the_stream() -> None:
    sampler = SeededSampler(Noise(), seed=1)
    whole = take(sampler, 20)
    sampler.skip(11)
    rest = take(sampler, 9)
    assert rest == whole[11:]
    assert [r.key for r in rest] == [w.key for w in whole[11:]]  # type: ignore[attr-defined]


def test_epochs_continue_the_stream_and_can_start_in_the_middle() -> None:
    stream = take(SeededSampler(Noise(), seed=1), 21)
    sampler = SeededSampler(Noise(), seed=1, infinite=False)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert epochs == [stream[:7], stream[7:14], stream[14:]]
    sampler.skip(9)
    sampler.set_epoch(1)
    assert list(sampler) == stream[9:14]
    sampler.set_epoch(2)
    assert list(sampler) == stream[14:]


@pytest.mark.parametrize("workers", [1, 2])
def test_random_samples_depend_only_on_seed_and_position(workers: int) -> None:
    expected = [[t.tolist() for t in batch] for batch in batches(6)]  # type: ignore[attr-defined]
    assert [[t.tolist() for t in batch] for batch in batches(6, workers=workers)] == expected  # type: ignore[attr-defined]
    resumed = batches(4, skip=2, workers=workers)
    assert [[t.tolist() for t in batch] for batch in resumed] == expected[2:]  # type: ignore[attr-defined]
    assert [[t.tolist() for t in batch] for batch in batches(6, seed=1)] != expected  # type: ignore[attr-defined]


def test_sample_index_can_be_pickled() -> None:
    index = pickle.loads(pickle.dumps(SampleIndex(4, (1, 2, 3))))
    assert (index, index.key) == (4, (1, 2, 3))


def test_all_generators_are_seeded() -> None:
    draws = []
    for key in ((0, 1), (0, 1), (1, 0)):
        seed_everything(*key)
        draws.append(Noise()[0])
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[0][1:], draws[2][1:], strict=True))
