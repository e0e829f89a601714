"""Write a data set in another format; see ``oil_storage.cli.convert_dataset``."""

import sys

try:
    from oil_storage.cli.convert_dataset import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
