import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from threading import Barrier

import pytest

from oil_storage import parallel
from oil_storage.errors import UserError
from oil_storage.parallel import in_processes, in_threads


@pytest.fixture(autouse=True)
def _real_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", ProcessPoolExecutor)


def double(number: int) -> int:
    return 2 * number


def fail(number: int) -> int:
    if number == 3:
        raise UserError("three")
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_are_in_the_order_of_the_jobs() -> None:
    assert list(in_processes(double, range(20), "doubling", "number")) == list(range(0, 40, 2))
    assert list(in_processes(double, [], "doubling", "number")) == []


def test_errors_propagate_and_a_killed_process_is_reported() -> None:
    with pytest.raises(UserError, match="three"):
        list(in_processes(fail, range(20), "failing", "number"))
    with pytest.raises(UserError, match="dying: one of"):
        list(in_processes(die, range(20), "dying", "number"))


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_work_at_once_and_keep_the_order(workers: int) -> None:
    together = Barrier(workers)  # fails unless as many jobs run at once
    taken = []

    def jobs() -> Iterator[tuple[int]]:
        for number in range(6):
            taken.append(number)
            yield (number,)

    def work(number: int) -> int:
        together.wait(timeout=10)
        return 2 * number

    results = in_threads(work, jobs(), workers)
    assert next(results) == 0
    assert len(taken) == workers + 1
    assert list(results) == [2, 4, 6, 8, 10]
