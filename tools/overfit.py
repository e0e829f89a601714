"""Check that configs can overfit a few tiles; see ``oil_storage.cli.overfit``."""

from _package import run

if __name__ == "__main__":
    run("overfit")
