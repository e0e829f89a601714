"""Names of what a killed process leaves."""

import os
from pathlib import Path

from oil_storage.files import partial_path

DEAD = 2**22 - 1
"""A process id that hardly any process has: the largest on Linux."""


def left_partial(path: Path) -> Path:
    """Return the name under which a process that was killed has begun to write ``path``."""
    partial = partial_path(path)
    return partial.with_name(partial.name.replace(f".{os.getpid()}.", f".{DEAD}."))
