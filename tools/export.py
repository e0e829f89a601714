"""Export a detector; see ``oil_storage.cli.export``."""

from _package import run

if __name__ == "__main__":
    run("export")
