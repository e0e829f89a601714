"""The one exception whose text is written for the user."""


class UserError(Exception):
    """Something the user can mend.

    The text is one to three lines that name the file, the place in it and the remedy. The command line prints it
    after ``error:`` without a traceback and exits with status 2.
    """
