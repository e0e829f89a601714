"""Cross-validate a config; see ``oil_storage.cli.crossval``."""

from _package import run

if __name__ == "__main__":
    run("crossval")
