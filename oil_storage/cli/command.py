"""Run a tool: parse its arguments, set up messages, and turn failures into an exit status."""

import argparse
import contextlib
import errno
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from oil_storage.errors import UserError

HEAD_START = 5.0
"""Seconds by which the first of several processes reports an error before the others; a launcher then ends them."""
logger = logging.getLogger("oil_storage")


def run(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse ``argv``, call ``body`` and turn its failures into an exit status.

    Results go to stdout, messages of the logger ``oil_storage`` to stderr.

    Args:
        parser: the tool's parser; ``--verbose``, ``--quiet`` and ``--debug`` are added to it.
        body: the work; returns an exit status, ``None`` meaning 0.
        argv: arguments without the program's name; ``None`` takes ``sys.argv``.

    Returns:
        int: 0 on success, 1 where ``body`` says that some inputs failed, 2 on any error, 130 on Ctrl-C, 143 on SIGTERM.
    """
    messages = parser.add_argument_group("messages").add_mutually_exclusive_group()
    messages.add_argument("-v", "--verbose", action="store_true", help="show more messages")
    messages.add_argument("-q", "--quiet", action="store_true", help="show warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    try:
        with _messages_on_stderr(level), _unwound_by_sigterm():
            return body(args) or 0
    except _Terminated:
        _report("terminated\n")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        _report("interrupted\n")
        return 130
    except Exception as error:
        if args.debug:
            raise
        _report(f"error: {_describe(error)}\n")
        return 2


def _describe(error: Exception) -> str:
    match error:
        case UserError():
            return _without_traceback(str(error))
        case OSError():
            full = error.errno in (errno.ENOSPC, errno.EDQUOT) and error.filename2  # a copy names its source first
            path = f"{full or error.filename}: " if error.filename else ""
            return f"{path}{_without_traceback(str(error.strerror or error))}"
        case ModuleNotFoundError():
            return f"{error}; run make install, then: source .venv/bin/activate"
    return f"{type(error).__name__}: {_without_traceback(str(error))}\nrun again with --debug for the traceback"


def _without_traceback(text: str) -> str:
    """Take the last line of a text that quotes a traceback, as errors of torch's data workers do."""
    return text.strip().splitlines()[-1] if "Traceback (most recent call last)" in text else text


class _Handler(logging.Handler):
    """Writes messages to stderr, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + record.getMessage(), file=sys.stderr)


@contextlib.contextmanager
def _messages_on_stderr(level: int) -> Iterator[None]:
    """Show the package's messages while a tool runs, in a distributed run those of the first process."""
    handler = _Handler()
    handler.addFilter(lambda _: is_first_process())
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Terminated(BaseException):
    """SIGTERM, as KeyboardInterrupt is SIGINT."""


@contextlib.contextmanager
def _unwound_by_sigterm() -> Iterator[None]:
    """Let SIGTERM run the clean-ups on its way out, as Ctrl-C does; a second one does not disturb them."""

    def unwind(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def is_first_process() -> bool:
    """Return whether this is the only or the first of the processes that a launcher started."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _report(text: str) -> None:
    """Write to stderr; other processes than the first wait, because they usually have the same to report."""
    if not is_first_process():
        time.sleep(HEAD_START)
    sys.stderr.write(text)


def choose_device(name: str) -> None:
    """Hide CUDA for ``cpu``, require it for ``cuda``. Call this before mmengine is imported, which decides for good.

    Raises:
        UserError: CUDA is asked for and not available.
    """
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            reason = "torch sees no GPU" if torch.version.cuda else "this torch is built without CUDA"
            raise UserError(f"--device cuda: {reason}; use --device cpu, or install as README.md says for CUDA")


def quieten_libraries() -> None:
    """Keep libraries' remarks to programmers off the user's terminal."""
    import importlib

    hide_warnings()
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("mmdet.datasets")  # prints which optional packages are absent


def hide_warnings() -> None:
    """Hide the warnings of libraries that a user can do nothing about."""
    import warnings

    for message in (
        "xFormers is not available",
        "torch.meshgrid: in an upcoming release",
        "Setting (OMP|MKL)_NUM_THREADS environment variable",
        ".*torch.cuda.amp.*is deprecated",
        "pkg_resources is deprecated",
        ".*`torch.jit.*` is deprecated",
        "'crs' was not provided",
        "To copy construct from a tensor",
        ".*'pin_memory' argument is set as true but no accelerator is found",
    ):
        warnings.filterwarnings("ignore", message=message)
