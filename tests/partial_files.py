"""Partial files as a killed process leaves them."""

import os
from pathlib import Path

from oil_storage.files import partial_path

DEAD = 2**22 - 1
"""Largest process id of Linux, which is unlikely to be in use."""


def left_partial(path: Path) -> Path:
    """Return the partial name of ``path`` that a killed process used."""
    partial = partial_path(path)
    return partial.with_name(partial.name.replace(f".{os.getpid()}.", f".{DEAD}."))
