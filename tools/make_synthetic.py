"""Render a labelled synthetic data set; the work is in oil_storage/cli/make_synthetic.py."""

import sys

from oil_storage.cli.make_synthetic import main

if __name__ == "__main__":
    sys.exit(main())
