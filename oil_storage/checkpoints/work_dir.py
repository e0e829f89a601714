"""Write checkpoints atomically and find the newest intact one."""

import json
import re
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from oil_storage.checkpoints.checkpoint import Trained, read_meta
from oil_storage.checkpoints.provenance import describe
from oil_storage.checkpoints.serialization import check_complete, plain
from oil_storage.checkpoints.trained_config import to_settings
from oil_storage.errors import UserError
from oil_storage.files import write_bytes

ATOMIC = {"backend": "atomic"}
"""``backend_args`` with which mmengine writes files atomically."""

INTERRUPTED = "interrupted.pth"
"""Name of the checkpoint that is written if a signal ends the training."""

LAST = "last_checkpoint"
"""Name of mmengine's file that contains the path of the newest checkpoint."""

_NUMBERED = re.compile(r"(iter|epoch)_(\d+)\.pth")


class AtomicBackend(LocalBackend):
    """Backend of mmengine that writes local files atomically."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``; see :func:`oil_storage.files.write_bytes`."""
        write_bytes(Path(filepath), obj)


register_backend(ATOMIC["backend"], AtomicBackend, force=True)


@HOOKS.register_module()
class CheckpointAtValidationHook(CheckpointHook):
    """Hook that adds the provenance to checkpoints and saves them in a form that can be read without executing code.

    Args:
        interval: iterations between checkpoints, or epochs with an epoch-based train loop; -1 uses the validation
            interval.
        **kwargs: arguments of :class:`mmengine.hooks.CheckpointHook` and ``Runner.save_checkpoint``.
    """

    interval: int
    before: Trained | None = None

    def __init__(self, interval: int = -1, **kwargs: Any) -> None:
        super().__init__(interval=interval, **{"backend_args": ATOMIC, **kwargs})

    def before_train(self, runner: Runner) -> None:
        """Set the unit and the interval from the train loop."""
        self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self.filename_tmpl = "epoch_{}.pth" if self.by_epoch else "iter_{}.pth"
        if self.interval < 0:
            self.interval = runner.train_loop.val_interval
        self.trained = describe(runner.cfg, self.before)
        super().before_train(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Store the provenance of the loaded weights."""
        self.before = read_meta(checkpoint["meta"], Path(str(runner._load_from))).trained

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the config, the provenance and the training time, and convert the checkpoint by :func:`plain`."""
        timer = runner.message_hub.log_scalars.get("train/time")  # includes the time before a resumption
        seconds = None if timer is None else float(timer.data[0].sum())
        checkpoint["meta"]["cfg"] = json.dumps(to_settings(runner.cfg))
        checkpoint["meta"]["trained"] = asdict(replace(self.trained, seconds=seconds))
        checkpoint.update(plain(checkpoint))


def find_last(work_dir: Path) -> Path | None:
    """Find the checkpoint to resume, even if ``work_dir`` was moved. Return None if there is none.

    The first intact file is returned, in this order: the file named in ``last_checkpoint``, ``iter_*.pth`` and
    ``epoch_*.pth`` by descending number, and ``interrupted.pth``.
    """
    numbered = [(int(match[2]), path) for path in work_dir.glob("*.pth") if (match := _NUMBERED.fullmatch(path.name))]
    candidates = [path for _, path in sorted(numbered, reverse=True)] + [work_dir / INTERRUPTED]
    pointer = work_dir / LAST
    if pointer.is_file():
        candidates.insert(0, work_dir / Path(pointer.read_text(encoding="utf-8").strip()).name)
    for path in candidates:
        with suppress(OSError, UserError):  # the file is missing or damaged
            check_complete(path)
            return path
    return None
