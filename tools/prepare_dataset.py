"""Prepare a data set; see ``oil_storage.cli.prepare_dataset``."""

import sys

from oil_storage.cli.prepare_dataset import main

if __name__ == "__main__":
    sys.exit(main())
