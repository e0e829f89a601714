import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oil_storage.errors import UserError
from oil_storage.parallel import in_processes


def double(number: int) -> int:
    return 2 * number


def fail(number: int) -> int:
    if number == 3:
        raise UserError("three")
    return number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order() -> None:
    assert list(in_processes(double, range(20), "doubling", "number")) == list(range(0, 40, 2))
    assert list(in_processes(double, [], "doubling", "number")) == []


def test_an_error_comes_out_and_a_killed_process_is_said() -> None:
    with pytest.raises(UserError, match="three"):
        list(in_processes(fail, range(20), "failing", "number"))
    with pytest.raises(UserError, match="dying: one of"):
        list(in_processes(die, range(20), "dying", "number"))


SLEEPERS = """
import os, time
from pathlib import Path
from oil_storage.parallel import in_processes

def sleep(path):
    path.write_text(str(os.getpid()))
    time.sleep(60)

if __name__ == "__main__":
    list(in_processes(sleep, [Path(r"{folder}", name) for name in "ab"], "sleeping", "nap"))
"""


def test_processes_die_with_their_parent_even_if_it_is_killed(tmp_path: Path) -> None:
    (tmp_path / "sleepers.py").write_text(SLEEPERS.format(folder=tmp_path))
    parent = subprocess.Popen([sys.executable, tmp_path / "sleepers.py"], cwd=Path(__file__).parents[1])
    deadline = time.monotonic() + 30
    files = [tmp_path / name for name in "ab"[: len(os.sched_getaffinity(0))]]
    while not all(file.is_file() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    workers = [int(file.read_text()) for file in files]
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
