"""Measure the cost of configs; see ``oil_storage.cli.benchmark``."""

from _package import run

if __name__ == "__main__":
    run("benchmark")
