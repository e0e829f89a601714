"""Test a checkpoint; the work is in oil_storage/cli/test.py."""

import sys

from oil_storage.cli.test import main

if __name__ == "__main__":
    sys.exit(main())
