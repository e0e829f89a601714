"""Show what the model is given; the work is in oil_storage/cli/browse_dataset.py."""

import sys

from oil_storage.cli.browse_dataset import main

if __name__ == "__main__":
    sys.exit(main())
