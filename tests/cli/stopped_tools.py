"""Tools that are stopped by a signal in the middle of their work."""

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
    """Start a Python tool; return it, still running, as soon as ``is_time``."""
    tool = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 60
    while not is_time():
        assert tool.poll() is None, tool.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(pause)
    return tool


def stop_by(tool: subprocess.Popen[str], number: signal.Signals, status: int) -> None:
    """Send the signal; the tool must end with that status and no traceback."""
    tool.send_signal(number)
    errors = tool.communicate(timeout=60)[1]
    assert tool.returncode == status, errors
    assert "Traceback" not in errors


def wait_for_iterations(process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until a training, whose output goes to ``log``, has begun."""
    deadline = time.monotonic() + 120
    while "Iter(train)" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
