"""Errors that libraries wrap in tracebacks, said plainly."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from oil_storage.errors import UserError

_START = "Traceback (most recent call last):\n"


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can mend into a :class:`UserError`, and cut tracebacks out of the text of other errors.

    torch hands an error of a data worker over as an error of the same type with the worker's traceback for text.
    """
    try:
        yield
    except UserError as error:
        raise UserError(without_traceback(str(error))) from error
    except FileNotFoundError as error:
        text = without_traceback(str(error))
        path = error.filename or (re.findall(r"'([^']+)'", text) or [text])[-1]
        raise UserError(f"{path}: no such file; if it is an image, prepare the data again") from error
    except Exception as error:
        text = without_traceback(str(error))
        if text.startswith("failed to load image: "):  # mmcv's words for what OpenCV cannot decode
            path = text.removeprefix("failed to load image: ")
            raise UserError(f"{path}: not an image, or half of one; prepare the data again") from error
        if text != str(error):
            raise RuntimeError(text) from error
        raise


def without_traceback(text: str) -> str:
    """The message of the last exception in a text that quotes a traceback; other texts are returned as they are."""
    _, start, tail = text.rpartition(_START)
    if not start:
        return text
    lines = tail.splitlines()
    while lines and lines[0].startswith(" "):
        del lines[0]
    return re.sub(r"^[\w.]+: ", "", "\n".join(lines), count=1).strip()
