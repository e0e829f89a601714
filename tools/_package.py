"""Find the package for the tools of this folder."""

import sys
from importlib import import_module


def run(tool: str) -> None:
    """Run ``oil_storage.cli.<tool>`` and exit with its status; say what to do where the package is not installed."""
    try:
        module = import_module(f"oil_storage.cli.{tool}")
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")
    sys.exit(module.main())
