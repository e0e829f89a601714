"""Prepare a data set; see oil_storage/cli/prepare_dataset.py."""

from _package import run

if __name__ == "__main__":
    run("prepare_dataset")
