"""Fixtures and settings of all tests."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

# Matplotlib draws to files, because test machines have no display.
os.environ.setdefault("MPLBACKEND", "Agg")
# Parallel test processes are faster if each uses few threads.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    cores = len(os.sched_getaffinity(0)) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(cores, 1)))
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", str(max(cores, 1)))
# Shells ignore SIGINT in background jobs, and the tools under test would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` if CUDA is not available."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs CUDA: torch.cuda.is_available() is False"))


class ThisProcess:
    """Fake of a process pool that runs jobs in this process, because a pool takes seconds to start."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> "ThisProcess":
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        pass

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        return map(function, jobs)


@pytest.fixture(scope="session", autouse=True)
def jobs_in_this_process() -> Iterator[None]:
    """Run parallel jobs in this process, except in the tests of ``parallel.py`` and in tools that tests start."""
    from oil_storage import parallel

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "ProcessPoolExecutor", ThisProcess)
        yield


@pytest.fixture(autouse=True)
def loggers_write_to_open_streams() -> Iterator[None]:
    """Detach the loggers of mmengine, which outlive a test, from the stderr that pytest captured in it."""
    yield
    if "mmengine" in sys.modules:
        from mmengine.logging import MMLogger

        for logger in MMLogger._instance_dict.values():
            for handler in logger.handlers:
                if type(handler) is logging.StreamHandler:
                    handler.stream = sys.__stderr__


@pytest.fixture(scope="session")
def airbus() -> Path:
    """Return the folder of the real Airbus scenes, with ``images/`` and ``annotations.csv``."""
    folder = os.environ.get("OIL_STORAGE_AIRBUS")
    if not folder:
        pytest.skip("needs the real scenes: set OIL_STORAGE_AIRBUS to their folder")
    path = Path(folder).resolve()
    assert (path / "annotations.csv").is_file(), f"OIL_STORAGE_AIRBUS={folder} has no annotations.csv"
    return path
