"""Start tools and stop them by a signal."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path


def start_and_wait(
    command: Iterable[str | Path],
    is_time: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
    pause: float = 0.02,
) -> subprocess.Popen[str]:
    """Start a Python tool; return it while it runs, as soon as ``is_time`` returns True."""
    tool = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not is_time():
        assert tool.poll() is None, tool.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(pause)
    return tool


def stop_by(tool: subprocess.Popen[str], number: signal.Signals, status: int) -> None:
    """Send a signal; assert that the tool ends with ``status`` and without a traceback."""
    tool.send_signal(number)
    errors = tool.communicate(timeout=60)[1]
    assert tool.returncode == status, errors
    assert "Traceback" not in errors


def wait_for_iterations(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a training run that writes to ``log`` has started iterations."""
    deadline = time.monotonic() + 120
    while "Iter(train)" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
