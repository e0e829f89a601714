"""Train a config; the work is in oil_storage/cli/train.py."""

import sys

from oil_storage.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
