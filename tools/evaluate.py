"""Score detections of any tool; the work is in oil_storage/cli/evaluate.py."""

import sys

try:
    from oil_storage.cli.evaluate import main
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; run make install, then: source .venv/bin/activate")

if __name__ == "__main__":
    sys.exit(main())
