"""Render synthetic scenes; see oil_storage/cli/make_synthetic.py."""

from _package import run

if __name__ == "__main__":
    run("make_synthetic")
