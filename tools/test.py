"""Test a checkpoint; see oil_storage/cli/test.py."""

from _package import run

if __name__ == "__main__":
    run("test")
