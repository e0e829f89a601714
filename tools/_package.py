"""Run a command-line tool of the package as a script."""

import sys
from importlib import import_module


def run(tool: str) -> None:
    """Run ``oil_storage.cli.<tool>`` and exit with its status. If a package is missing, say how to install it."""
    try:
        module = import_module(f"oil_storage.cli.{tool}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; run make install, then source .venv/bin/activate")
    sys.exit(module.main())
