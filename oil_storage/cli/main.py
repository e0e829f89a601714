"""The command ``oil-storage``, which runs the tools of the package as subcommands."""

import argparse
import ast
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from oil_storage import __version__

COMMANDS = {
    "detect": "detect:command",
    "audit": "audit_dataset:main",
    "prepare": "prepare_dataset:main",
    "convert": "convert_dataset:main",
    "browse": "browse_dataset:main",
    "evaluate": "evaluate:main",
    "synth": "make_synthetic:main",
    "train": "train:main",
    "test": "test:main",
    "report": "report:main",
    "benchmark": "benchmark:main",
    "export": "export:main",
    "doctor": "doctor:main",
}
"""Module and function of each subcommand in ``oil_storage.cli``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit status. Only the module of this subcommand is imported.

    Args:
        argv: subcommand and its arguments; ``None`` uses ``sys.argv``.
    """
    args = build_parser().parse_args(argv)
    tool = pkgutil.resolve_name(f"oil_storage.cli.{COMMANDS[args.command]}")
    return int(tool(args.arguments, prog=f"oil-storage {args.command}"))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser. It leaves the arguments after the subcommand to the parser of the subcommand."""
    listed = "\n".join(f"  {command:<11}{_summary(tool)}" for command, tool in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="oil-storage",
        usage="oil-storage COMMAND ...",
        description="Detect oil storage tanks in satellite images; train and evaluate detectors.",
        epilog=f"commands:\n{listed}\n\n"
        "`oil-storage COMMAND --help` shows the arguments of a command.\n"
        "exit status: 0 all done; 1 some inputs failed or have errors; 2 wrong usage or nothing done",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help=argparse.SUPPRESS)
    return parser


def _summary(tool: str) -> str:
    """Return the first line of the docstring of a subcommand's module, without importing the module."""
    source = Path(__file__).with_name(f"{tool.partition(':')[0]}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]


if __name__ == "__main__":
    sys.exit(main())
