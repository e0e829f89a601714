"""Convert a data set to another annotation format; see ``oil_storage.cli.convert_dataset``."""

from _package import run

if __name__ == "__main__":
    run("convert_dataset")
