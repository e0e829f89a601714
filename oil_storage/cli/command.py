"""How every tool runs: parse, work, and say what went wrong in a line."""

import argparse
import sys
from collections.abc import Callable, Sequence

from oil_storage.errors import UserError


def run(
    parser: argparse.ArgumentParser,
    body: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse ``argv``, call ``body`` and turn its failures into an exit status.

    Args:
        parser: the tool's parser; ``--debug`` is added to it.
        body: the work; returns an exit status, ``None`` meaning 0.
        argv: arguments without the program's name; ``None`` takes ``sys.argv``.

    Returns:
        int: 0 on success, 2 on a :class:`UserError` or a file that cannot be used, 130 on Ctrl-C, 1 on a fault of ours.
    """
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = parser.parse_args(argv)
    try:
        return body(args) or 0
    except UserError as error:
        if args.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if args.debug:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"error: {place}{error.strerror or error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            raise
        print(f"error: {type(error).__name__}: {error}\nrun again with --debug for the traceback", file=sys.stderr)
        return 1
