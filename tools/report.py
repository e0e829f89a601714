"""Record tested runs; see ``oil_storage.cli.report``."""

import sys

try:
    from oil_storage.cli.report import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
