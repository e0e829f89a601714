"""Check whether configs can learn; see oil_storage/cli/overfit.py."""

from _package import run

if __name__ == "__main__":
    run("overfit")
