"""The one exception whose text is written for the user."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class UserError(Exception):
    """Something the user can mend.

    The text is one to three lines that name the file, the place in it and the remedy. The command line prints it
    after ``error:`` without a traceback and exits with status 2.
    """


def first_problem(error: "ValidationError") -> str:
    """Return the place and the message of the first of pydantic's errors: ``source.seed: Field required``."""
    problem = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
