"""Run mmengine's Runner with concise output on the terminal and complete output in the log file."""

import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from oil_storage.config import dataset_of
from oil_storage.datasets.oil_storage import check_prepared
from oil_storage.errors import UserError
from oil_storage.manifest import Manifest

logger = logging.getLogger(__name__)
NOISE = ("paramwise_options -- ", '"FileClient" will', '"HardDiskBackend" is')
"""Beginnings of log records that are dropped. mmengine repeats some of them hundreds of times."""
SKIPPED_PARAMETER = " is skipped since "
"""Text in the log records about frozen or shared parameters; these records are dropped, too."""
DETAILS = ("System environment:", "Config:", "Hooks will be executed", "Distributed training is not used")
"""Beginnings of long log records, which the terminal shows only with ``--verbose``."""

SMALL_BATCH = 64
"""Batch size that is always accepted; a larger one may not exceed the number of tiles."""


def use_scope(cfg: Config) -> None:
    """Import the ``custom_imports`` of a config, and set its default scope for registries."""
    import_modules_from_strings(**cfg.custom_imports)
    init_default_scope(cfg.default_scope)


def check_tiles(cfg: Config, loader: str) -> None:
    """Check the tile set of a loader and its batch size, and warn if a tile has more tanks than the detector returns.

    Args:
        cfg: config; only loaders of OilStorageDataset are checked.
        loader: name of the loader, such as ``val_dataloader``.

    Raises:
        UserError: a batch is larger than the split, or see :func:`oil_storage.datasets.oil_storage.check_prepared`.
    """
    dataset: Any = dataset_of(cfg, loader) if cfg.get(loader) else {}
    if dataset.get("type") != "OilStorageDataset":
        return
    tiles = f"{dataset.tile}_{dataset.overlap}"
    check_prepared(Path(dataset.data_root), tiles)
    counts = Manifest.load(Path(dataset.data_root)).tiles[tiles].counts(dataset.split)
    if (size := cfg[loader].get("batch_size") or 1) > max(SMALL_BATCH, counts.tiles):
        raise UserError(
            f"{cfg.filename}: {loader}.batch_size={size}: the {dataset.split} split has only {counts.tiles} tiles; "
            "give a smaller number"
        )
    for key, most in _detection_limits(cfg.model.get("test_cfg") or {}, "model.test_cfg"):
        if most < counts.densest:
            logger.warning(
                "%s tiles contain up to %d tanks, but the detector returns at most %d; increase %s",
                *(dataset.split, counts.densest, most, key),
            )


def _detection_limits(node: Mapping[str, Any], parent: str) -> Iterator[tuple[str, int]]:
    for key, value in node.items():
        if isinstance(value, dict) and key != "rpn":
            yield from _detection_limits(value, f"{parent}.{key}")
        elif key == "max_per_img" and value is not None:
            yield f"{parent}.{key}", value


class ConciseRunner(Runner):
    """Runner that logs to stderr with the level of the logger ``oil_storage``."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger and add filters to its handlers."""
        logger = super().build_logger(*args, **kwargs)
        level = logging.getLogger("oil_storage").getEffectiveLevel()
        for handler in logger.handlers:
            handler.addFilter(_is_no_noise)
            handler.handleError = _stop
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setStream(sys.stderr)
                handler.setLevel(max(level, handler.level))
                if level > logging.DEBUG:
                    handler.addFilter(lambda record: not record.getMessage().lstrip("\n-").startswith(DETAILS))
        return logger


def _stop(record: logging.LogRecord) -> None:
    """Raise the error of a handler, such as a full disk; logging would print a traceback and go on."""
    raise


def _is_no_noise(record: logging.LogRecord) -> bool:
    text = record.getMessage()
    return not (text.startswith(NOISE) or SKIPPED_PARAMETER in text)
