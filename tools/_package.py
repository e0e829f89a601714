"""Run tools of the package as scripts."""

import sys
from importlib import import_module


def run(tool: str) -> None:
    """Run ``oil_storage.cli.<tool>`` and exit with its status; exit with a hint if a package is missing."""
    try:
        module = import_module(f"oil_storage.cli.{tool}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; run make install, then source .venv/bin/activate")
    sys.exit(module.main())
