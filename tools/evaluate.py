"""Evaluate the detections of any tool; see ``oil_storage.cli.evaluate``."""

from _package import run

if __name__ == "__main__":
    run("evaluate")
