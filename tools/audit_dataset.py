"""Audit a data set; see ``oil_storage.cli.audit_dataset``."""

import sys

try:
    from oil_storage.cli.audit_dataset import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
