"""Record tested runs; see oil_storage/cli/report.py."""

from _package import run

if __name__ == "__main__":
    run("report")
