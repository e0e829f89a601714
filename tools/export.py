"""Export a detector; the work is in oil_storage/cli/export.py."""

import sys

try:
    from oil_storage.cli.export import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
