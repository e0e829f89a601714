"""Run jobs in parallel, with a progress bar."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

import cv2
from tqdm import tqdm

from oil_storage.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], title: str, unit: str) -> Iterator[Result]:
    """Run ``function(job)`` for all jobs in parallel, with one process per core, and yield the results in order.

    ``function`` must be picklable. A progress bar with ``title`` and ``unit`` appears after two seconds.

    Raises:
        UserError: a process was killed.
    """
    workers = max(1, min(len(jobs), len(os.sched_getaffinity(0))))
    try:
        # forked processes can deadlock in the thread pool of OpenCV
        with ProcessPoolExecutor(workers, get_context("spawn"), _initialise) as pool:
            yield from tqdm(pool.map(function, jobs), total=len(jobs), desc=title, unit=unit, delay=2)
    except BrokenProcessPool as error:
        raise UserError(f"{title}: one of {workers} processes was killed; free some memory and try again") from error


def in_threads(function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]], workers: int = 1) -> Iterator[Result]:
    """Run ``function(*job)`` for ``workers`` jobs at once, and yield the results in order.

    ``jobs`` prepares the next job meanwhile.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for job in jobs:
            if len(pending) == workers:
                yield pending.popleft().result()
            pending.append(pool.submit(function, *job))
        while pending:
            yield pending.popleft().result()


def threads() -> int:
    """Return the number of threads for computing: ``OMP_NUM_THREADS``, or else the number of available cores."""
    stated = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(stated) if stated.isdecimal() and int(stated) else len(os.sched_getaffinity(0))


def _initialise() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C signals all processes; only the main process handles it
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent process ends; otherwise this process would wait for jobs and keep inherited pipes open."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)
