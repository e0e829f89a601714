"""Draw training samples after augmentation; see ``oil_storage.cli.browse_dataset``."""

from _package import run

if __name__ == "__main__":
    run("browse_dataset")
