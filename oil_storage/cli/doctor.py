"""Check the installation, the processor and GPU, and the prepared data; name the command that solves each problem."""

import argparse
from functools import partial

from oil_storage.cli.command import run


def build_parser() -> argparse.ArgumentParser:
    """Build the parser."""
    description = f"{__doc__} Exit status: 0 if all that is installed works, 1 if there are problems."
    return argparse.ArgumentParser(prog="oil-storage doctor", description=description)


def doctor(args: argparse.Namespace) -> int:
    """Print the results of the checks; return 1 if there are problems."""
    from oil_storage.installation import check_installation

    problems = 0
    for check in check_installation():
        print(f"{'problem' if check.remedy else 'ok':<9}{check.name:<15}{check.found}", flush=True)
        if check.remedy:
            problems += 1
            print(f"{'':9}{'run':<15}{check.remedy}", flush=True)
    print(f"{problems} problems" if problems != 1 else "1 problem")
    return int(problems > 0)


main = partial(run, build_parser, doctor)
