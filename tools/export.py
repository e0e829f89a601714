"""Export a detector; the work is in oil_storage/cli/export.py."""

from _package import run

if __name__ == "__main__":
    run("export")
