"""Audit a data set; see oil_storage/cli/audit_dataset.py."""

from _package import run

if __name__ == "__main__":
    run("audit_dataset")
