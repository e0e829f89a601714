import os
import signal
from concurrent.futures import ProcessPoolExecutor

import pytest

from oil_storage import parallel
from oil_storage.errors import UserError
from oil_storage.parallel import in_processes


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
