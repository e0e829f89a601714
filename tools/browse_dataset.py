"""Show augmented tiles; see oil_storage/cli/browse_dataset.py."""

from _package import run

if __name__ == "__main__":
    run("browse_dataset")
