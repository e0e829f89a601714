"""Find the tanks of scenes; the work is in oil_storage/cli/detect.py."""

import sys

try:
    from oil_storage.cli.detect import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
