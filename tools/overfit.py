"""See whether configs learn; the work is in oil_storage/cli/overfit.py."""

import sys

from oil_storage.cli.overfit import main

if __name__ == "__main__":
    sys.exit(main())
