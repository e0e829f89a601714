"""Fork processes, and kill each before one of its changes to a folder."""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
"""Audit events of Python that are raised before a file or a folder is opened, renamed, removed or created."""


def forked(body: Callable[[], Any], log: Path) -> int:
    """Run ``body`` in a forked process, with its output in ``log``; return its exit status, or minus the signal."""
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os._exit(body() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def watch(folder: Path, pattern: re.Pattern[str], at: int | None, events: Path) -> None:
    """Write each change of matching files in a folder to ``events``; kill this process before change number ``at``."""
    number = 0
    events.parent.mkdir(parents=True, exist_ok=True)
    out = os.open(events, os.O_WRONLY | os.O_CREAT)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal number
        if event not in CHANGES or not isinstance(arguments[0], str | os.PathLike):
            return
        name = os.fspath(arguments[0])
        if not name.startswith(str(folder)) or not pattern.search(name):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        os.write(out, f"{event} {name[len(str(folder)) + 1 :]}\n".encode())
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        number += 1

    sys.addaudithook(hook)
