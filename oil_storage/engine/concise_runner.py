"""A Runner whose terminal shows what people read; its log file keeps the rest."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

NEVER_READ = ("paramwise_options -- ", '"FileClient" will', '"HardDiskBackend" is')
"""Beginnings of entries that are left out altogether: mmengine writes hundreds of lines of some."""
SKIPS = " is skipped since "
"""What mmengine says of each parameter that is frozen or shared."""
FOR_THE_FILE = ("System environment:", "Config:", "Hooks will be executed", "Distributed training is not used")
"""Beginnings of entries of tens or hundreds of lines, looked up later or never; a line of dashes may stand before."""


class ConciseRunner(Runner):
    """mmengine's Runner, its terminal relieved of environment, config and list of hooks."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, its handlers with filters."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            handler.addFilter(is_worth_keeping)
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_news)
        return logger


def is_worth_keeping(entry: logging.LogRecord) -> bool:
    """Whether a log entry is written anywhere."""
    text = entry.getMessage()
    return not (text.startswith(NEVER_READ) or SKIPS in text)


def is_news(entry: logging.LogRecord) -> bool:
    """Whether a log entry is shown on the terminal."""
    return not entry.getMessage().lstrip("\n-").startswith(FOR_THE_FILE)
