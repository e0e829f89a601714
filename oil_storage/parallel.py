"""Jobs on all cores, with a progress bar, in processes that do not outlive their parent."""

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from typing import TypeVar

from tqdm import tqdm

from oil_storage.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


def in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], title: str, unit: str) -> Iterator[Result]:
    """Yield ``function(job)`` of each job, in order; one process a core.

    Args:
        function: of a module's top level, so that it can be sent to a process.
        jobs: its arguments.
        title: before the progress bar, which appears where two seconds do not suffice.
        unit: what one job is.

    Raises:
        UserError: a process was killed.
    """
    workers = max(1, min(len(jobs), len(os.sched_getaffinity(0))))
    hook = threading.excepthook
    try:
        # a forked process would wait for ever for threads that OpenCV had in its parent
        with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (os.getpid(),)) as pool:
            try:
                yield from tqdm(pool.map(function, jobs), total=len(jobs), desc=title, unit=unit, delay=2)
            except BrokenProcessPool as error:
                raise UserError(
                    f"{title}: one of {workers} processes was killed; is there too little memory?"
                ) from error
            except Exception:
                pool.shutdown(cancel_futures=True)
                raise
            except BaseException:  # a signal: what is under way will not be used
                threading.excepthook = lambda args: None  # the pool's thread would complain of what is killed here
                for process in active_children():
                    process.kill()
                raise
    finally:
        threading.excepthook = hook


def _begin(parent: int) -> None:
    import cv2

    cv2.setNumThreads(1)  # one process a core is enough
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent answers it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(1)
