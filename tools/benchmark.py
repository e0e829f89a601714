"""Measure what configs cost; the work is in oil_storage/cli/benchmark.py."""

import sys

from oil_storage.cli.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
