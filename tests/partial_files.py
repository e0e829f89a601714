"""Names of temporary files of a killed process."""

import os
from pathlib import Path

from oil_storage.files import partial_path

DEAD = 2**22 - 1
"""The largest process id on Linux, which is hardly ever in use."""


def left_partial(path: Path) -> Path:
    """Return the temporary name under which a killed process was writing ``path``."""
    partial = partial_path(path)
    return partial.with_name(partial.name.replace(f".{os.getpid()}.", f".{DEAD}."))
