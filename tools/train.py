"""Train a detector; see oil_storage/cli/train.py."""

from _package import run

if __name__ == "__main__":
    run("train")
