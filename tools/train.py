"""Train a config; see ``oil_storage.cli.train``."""

from _package import run

if __name__ == "__main__":
    run("train")
