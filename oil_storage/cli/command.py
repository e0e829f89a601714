"""How every tool runs: parse, work, and say what went wrong in a line."""

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from oil_storage.errors import UserError

HEAD_START = 5.0
"""Seconds by which the first of several processes may speak before the others; where it ends, a launcher ends them."""


def run(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse ``argv``, call ``body`` and turn its failures into an exit status.

    Args:
        parser: the tool's parser; ``--debug`` is added to it.
        body: the work; returns an exit status, ``None`` meaning 0.
        argv: arguments without the program's name; ``None`` takes ``sys.argv``.

    Returns:
        int: 0 on success, 2 on a :class:`UserError` or a file that cannot be used, 130 on Ctrl-C, 143 on SIGTERM, 1 on
            a fault of ours.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    usage = io.StringIO()
    try:
        with contextlib.redirect_stderr(usage):
            args = parser.parse_args(argv)
    except SystemExit:
        _say(usage.getvalue())
        raise
    try:
        with _unwound_by_sigterm():
            return body(args) or 0
    except _Terminated:
        _say("terminated\n")
        return 128 + signal.SIGTERM
    except UserError as error:
        if args.debug:
            raise
        _say(f"error: {error}\n")
        return 2
    except OSError as error:
        if args.debug:
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename2  # a copy names first where it comes from
        place = f"{full or error.filename}: " if error.filename else ""
        _say(f"error: {place}{error.strerror or error}\n")
        return 2
    except KeyboardInterrupt:
        _say("interrupted\n")
        return 130
    except ModuleNotFoundError as error:
        if args.debug:
            raise
        _say(f"error: {error}; run make install, then: source .venv/bin/activate\n")
        return 2
    except Exception as error:
        if args.debug:
            raise
        _say(f"error: {type(error).__name__}: {error}\nrun again with --debug for the traceback\n")
        return 1


class _Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


@contextlib.contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Let SIGTERM run the clean-ups on its way out, as Ctrl-C does; a second one does not disturb them."""

    def unwind(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def is_first_process() -> bool:
    """Whether this is the only or the first of the processes that a launcher started, known before they are a group."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _say(text: str) -> None:
    """Write to stderr, but once where all processes have the same to say; a fault of one alone is heard as well."""
    if text and not is_first_process():
        time.sleep(HEAD_START)
    sys.stderr.write(text)
