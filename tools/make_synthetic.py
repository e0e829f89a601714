"""Render a labelled synthetic data set; see ``oil_storage.cli.make_synthetic``."""

from _package import run

if __name__ == "__main__":
    run("make_synthetic")
