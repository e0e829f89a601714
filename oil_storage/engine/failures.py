"""Errors that libraries wrap in tracebacks, said plainly."""

import re
import textwrap
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from oil_storage.errors import UserError

_START = "Traceback (most recent call last):\n"
_IMAGES = (".jpg", ".png")


@contextmanager
def plain_errors(config: Path | str = "the config", options: Sequence[str] = ()) -> Iterator[None]:
    """Turn what a user can mend into a :class:`UserError`, and cut tracebacks out of the text of other errors.

    torch hands an error of a data worker over as an error of the same type with the worker's traceback for text.
    What mmengine cannot build is known by the function that the error came through.

    Args:
        config: what is built; named where that fails.
        options: the ``--cfg-options`` that changed it; the one at fault is named if it can be told.
    """
    try:
        yield
    except UserError as error:
        raise UserError(without_traceback(str(error))) from error
    except FileNotFoundError as error:
        text = without_traceback(str(error))
        path = error.filename or (re.findall(r"'([^']+)'", text) or [text])[-1]
        remedy = "; prepare the data again" if str(path).endswith(_IMAGES) else ""
        raise UserError(f"{path}: no such file{remedy}") from error
    except OSError:
        raise
    except Exception as error:
        text = without_traceback(str(error))
        if text.startswith("failed to load image: "):  # mmcv's words for what OpenCV cannot decode
            path = text.removeprefix("failed to load image: ")
            raise UserError(f"{path}: not an image, or half of one; prepare the data again") from error
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        builds = [frame for frame in frames if _is_mmengines(frame) and _builds(frame)]
        checks = [frame for frame in frames if frame.f_code.co_name == "_check_head"]  # mmdet's NumClassCheckHook
        blamed = [option for option in options if _is_refused(option, text)]
        if (builds or checks) and not blamed:
            blamed = [option for option in options if _is_named(option, text)]
            blamed = [option for option in blamed if _has_value(option, text)] or blamed
        if builds or checks or blamed:
            overridden = f"{config} --cfg-options {' '.join(options)}" if options else f"{config}"
            place = f"--cfg-options {blamed[0]}" if blamed else overridden
            what = next((f"{kind}: " for frame in reversed(builds) if (kind := _type(frame))), "")
            raise UserError(f"{place}: {what}{type(error).__name__}: {_sentence(error)}") from error
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


def _is_mmengines(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith("mmengine.")


def _builds(frame: FrameType) -> bool:
    return frame.f_code.co_name == "from_cfg" or frame.f_code.co_name.startswith("build_")


def _type(frame: FrameType) -> str | None:
    """The ``type`` of what mmengine's ``build_from_cfg`` is building."""
    cfg = frame.f_locals.get("cfg") if frame.f_code.co_name == "build_from_cfg" else None
    return str(cfg["type"]) if isinstance(cfg, dict) and "type" in cfg else None


def _is_refused(option: str, text: str) -> bool:
    """Whether an error is about the key of an option as an argument, or about its value as a name."""
    key, _, value = option.partition("=")
    return f"unexpected keyword argument '{key.rpartition('.')[2]}'" in text or f"{value} is not in the " in text


def _is_named(option: str, text: str) -> bool:
    """Whether an error has the key of an option in its words."""
    key = option.partition("=")[0].rpartition(".")[2]
    return re.search(rf"\b{re.escape(key)}\b", text) is not None


def _has_value(option: str, text: str) -> bool:
    value = option.partition("=")[2]
    return re.search(rf"(?<![\w.-]){re.escape(value)}(?![\w.])", text) is not None


def _sentence(error: Exception) -> str:
    """The first sentence of an error, in a line; KeyError would quote it."""
    text = str(error.args[0]) if error.args else ""
    return textwrap.shorten(re.split(r"\.\s|\n", text.strip(), maxsplit=1)[0], 200, placeholder=" ...")
