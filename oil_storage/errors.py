"""Exception for errors that the user can fix."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """Error that the user can fix.

    The message has one to three lines and states the file, the location in it, the problem and the remedy. The command
    line prints it after ``error:`` without a traceback and exits with status 2.
    """


def first_problem(error: "ValidationError") -> str:
    """Describe the first error by entry, message and value: ``a.seed: Input should be a valid integer, not 'x'``."""
    problem = error.errors()[0]
    keys = [key for key in problem["loc"] if key not in ("int", "str")]  # pydantic adds the members of a union
    entry = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    value = "" if problem["type"] in ("missing", "json_invalid") else f", not {problem['input']!r:.200}"
    return f"{entry}: {problem['msg']}{value}".removeprefix(": ")
