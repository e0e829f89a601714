"""Write all files that ship with the package; see oil_storage/cli/release.py."""

from _package import run

if __name__ == "__main__":
    run("release")
