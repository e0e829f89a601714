"""Errors that libraries wrap in tracebacks, said plainly."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from oil_storage.errors import UserError

_LAST_OF_TRACEBACK = re.compile(r"^(?:[\w.]+\.)?(\w+): ", re.MULTILINE)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a user can mend into a :class:`UserError`, and cut tracebacks out of the text of other errors.

    torch hands an error of a data worker over as an error of the same type with the worker's traceback for text.
    """
    try:
        yield
    except FileNotFoundError as error:
        text = _without_traceback(str(error))
        path = error.filename or (re.findall(r"'([^']+)'", text) or [text])[-1]
        raise UserError(f"{path}: no such file; if it is an image, prepare the data again") from error
    except UserError as error:
        raise UserError(_without_traceback(str(error))) from error
    except Exception as error:
        if "Original Traceback" in str(error):
            raise RuntimeError(_without_traceback(str(error))) from error
        raise


def _without_traceback(text: str) -> str:
    if "Original Traceback" not in text:
        return text
    *_, last = _LAST_OF_TRACEBACK.finditer(text)
    return text[last.end() :].strip()
