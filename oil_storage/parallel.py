"""Jobs on all cores, with a progress bar."""

import os
import signal
import threading
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
    """Yield ``function(job)`` of each job, in order, from one process per core; ``function`` must be picklable.

    A progress bar with ``title`` that counts in ``unit`` appears after two seconds.

    Raises:
        UserError: a process was killed.
    """
    workers = max(1, min(len(jobs), len(os.sched_getaffinity(0))))
    try:
        # forked processes would deadlock on OpenCV's threads
        with ProcessPoolExecutor(workers, get_context("spawn"), _initialise) as pool:
            yield from tqdm(pool.map(function, jobs), total=len(jobs), desc=title, unit=unit, delay=2)
    except BrokenProcessPool as error:
        raise UserError(f"{title}: one of {workers} processes was killed; is there too little memory?") from error


def one_behind(function: Callable[..., Result], jobs: Iterable[tuple[Any, ...]]) -> Iterator[Result]:
    """Yield ``function(*job)`` of each job, in order, computed in a thread while the next job is made."""
    pending: Future[Result] | None = None
    with ThreadPoolExecutor(1) as pool:
        for job in jobs:
            if pending is not None:
                yield pending.result()
            pending = pool.submit(function, *job)
        if pending is not None:
            yield pending.result()


def _initialise() -> None:
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first ends the others
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    """Exit when the parent was killed; an orphan would wait for jobs for ever, and keep the parent's pipes open."""
    parent = parent_process()
    assert parent
    parent.join()
    os._exit(1)
