"""Write a data set in another format; see ``oil_storage.cli.convert_dataset``."""

import sys

from oil_storage.cli.convert_dataset import main

if __name__ == "__main__":
    sys.exit(main())
