"""Train a config; the work is in oil_storage/cli/train.py."""

from _package import run

if __name__ == "__main__":
    run("train")
