"""JSON as annotation files hold it."""

import json
from pathlib import Path
from typing import Any

from oil_storage.errors import UserError


def load_object(path: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object.

    Raises:
        UserError: not JSON, with the line, or something else than an object.
    """
    try:
        content = json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON ({error.msg}); the file is cut short or was edited by hand"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: JSON that cannot be read ({error}); is it the right file?") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, not an object {{...}}; is it the right file?")
    return content


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a float can hold; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True
