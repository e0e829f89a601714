"""Convert a data set to another format; see oil_storage/cli/convert_dataset.py."""

from _package import run

if __name__ == "__main__":
    run("convert_dataset")
