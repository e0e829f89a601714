"""Audit a data set; see ``oil_storage.cli.audit_dataset``."""

import sys

from oil_storage.cli.audit_dataset import main

if __name__ == "__main__":
    sys.exit(main())
