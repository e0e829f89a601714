"""Run a tool: parse its arguments, show its messages, and convert errors to an exit status."""

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
"""Seconds after which processes other than the first report an error. The launcher usually ends them earlier."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk and of an exhausted quota."""
LONGEST = 800
"""Maximum length of a line of an error in characters. A damaged file may have lines of any length."""
TRAINING_STACK = ("torch", "mmengine", "mmcv", "mmdet", "pycocotools", "onnx", "safetensors", "tensorboard")
"""Packages of the extra ``train``, by the names under which they are imported."""
logger = logging.getLogger("oil_storage")


def run(
    build_parser: Callable[[], argparse.ArgumentParser],
    body: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
    prog: str | None = None,
) -> int:
    """Parse ``argv``, call ``body`` and convert its errors to an exit status.

    Results go to stdout, messages of the logger ``oil_storage`` to stderr.

    Args:
        build_parser: function that builds the tool's parser, to which ``--verbose``, ``--quiet`` and ``--debug`` are
            added.
        body: function that does the work and returns an exit status; ``None`` means 0.
        argv: arguments without the program name; ``None`` uses ``sys.argv``.
        prog: name of the program in its help; ``None`` keeps the name that ``build_parser`` sets.

    Returns:
        int: 0 on success, 1 if ``body`` reports failed inputs, 2 on an error, 130 on Ctrl-C, 143 on SIGTERM.
    """
    parser = build_parser()
    parser.prog = prog or parser.prog
    messages = parser.add_argument_group("messages").add_mutually_exclusive_group()
    messages.add_argument("-v", "--verbose", action="store_true", help="show more messages")
    messages.add_argument("-q", "--quiet", action="store_true", help="show warnings and errors only")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    try:
        with _messages_on_stderr(level), _sigterm_raises():
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
        lines = (line if len(line) <= LONGEST else f"{line[:LONGEST]}..." for line in _describe(error).splitlines())
        _report("error: " + "\n".join(lines) + "\n")
        return 2


def _describe(error: Exception) -> str:
    match error:
        case UserError():
            return _without_traceback(str(error))
        case OSError():
            # a full disk concerns the destination of a copy
            full = error.errno in FULL and error.filename2
            path = f"{full or error.filename}: " if error.filename else ""
            remedy = "; free some space, or choose another folder" if error.errno in FULL else ""
            return f"{path}{_without_traceback(str(error.strerror or error))}{remedy}"
        case ModuleNotFoundError() if (error.name or "").partition(".")[0] in TRAINING_STACK:
            return f"this needs the training stack ({error}); run make install in a clone of the repository"
        case ImportError():
            return f"{error}; run oil-storage doctor"
    return f"{type(error).__name__}: {_without_traceback(str(error))}\nrun it again with --debug to see the traceback"


def _without_traceback(text: str) -> str:
    """Return only the last line of a message if it contains a traceback, as errors of torch's data workers do."""
    return text.strip().splitlines()[-1] if "Traceback (most recent call last)" in text else text


class _Handler(logging.Handler):
    """Handler that writes messages to stderr, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        prefix = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        tqdm.write(prefix + record.getMessage(), file=sys.stderr)


@contextlib.contextmanager
def _messages_on_stderr(level: int) -> Iterator[None]:
    """Show log messages of the package on stderr. In a distributed run, only the first process shows them."""
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
    """Exception raised on SIGTERM, like KeyboardInterrupt on SIGINT."""


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Raise an exception on the first SIGTERM, so that clean-up code runs; ignore further ones."""

    def terminate(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def is_first_process() -> bool:
    """Return whether this process is the only one, or the first one in a distributed run."""
    return os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0")) == "0"


def _report(text: str) -> None:
    """Write to stderr. All processes except the first wait before they write."""
    if not is_first_process():  # usually reports the same error as the first
        time.sleep(HEAD_START)
    sys.stderr.write(text)


def choose_device(name: str) -> None:
    """Hide CUDA for ``cpu``, and require it for ``cuda``.

    Call this before mmengine is imported, because mmengine selects the device on import.

    Raises:
        UserError: ``name`` is ``cuda`` and CUDA is not available.
    """
    if name == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if name == "cuda":
        import torch

        if not torch.cuda.is_available():
            reason = "torch sees no GPU" if torch.version.cuda else "this torch is built without CUDA"
            raise UserError(f"--device cuda: {reason}; give --device cpu, or install CUDA (see docs/install.md)")


def quieten_libraries() -> None:
    """Import mmdet without the messages that libraries print for developers."""
    import importlib

    hide_warnings()
    with contextlib.redirect_stdout(io.StringIO()):
        importlib.import_module("mmdet.datasets")  # prints missing optional packages


def hide_warnings() -> None:
    """Hide library warnings that the user cannot act on."""
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
