"""Cross-validate a config; the work is in oil_storage/cli/crossval.py."""

import sys

from oil_storage.cli.crossval import main

if __name__ == "__main__":
    sys.exit(main())
