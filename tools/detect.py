"""Detect tanks in scenes; see ``oil_storage.cli.detect``."""

from _package import run

if __name__ == "__main__":
    run("detect")
