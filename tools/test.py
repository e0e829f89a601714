"""Test a checkpoint; the work is in oil_storage/cli/test.py."""

import sys

try:
    from oil_storage.cli.test import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
