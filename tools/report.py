"""Record tested runs; see ``oil_storage.cli.report``."""

import sys

from oil_storage.cli.report import main

if __name__ == "__main__":
    sys.exit(main())
