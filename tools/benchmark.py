"""Measure what configs cost; the work is in oil_storage/cli/benchmark.py."""

import sys

try:
    from oil_storage.cli.benchmark import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
