"""Write the checkpoints of a training into its work dir, and find the newest intact one."""

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
"""mmengine ``backend_args`` under which a file is complete or absent, whatever kills the process."""

INTERRUPTED = "interrupted.pth"
"""The checkpoint that a signal leaves."""

LAST = "last_checkpoint"
"""The file that names the newest checkpoint; mmengine's name for it."""

_NUMBERED = re.compile(r"(iter|epoch)_(\d+)\.pth")


class AtomicBackend(LocalBackend):
    """Local files that are written by :func:`oil_storage.files.write_bytes`."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``, replacing an older file in one step."""
        write_bytes(Path(filepath), obj)


register_backend(ATOMIC["backend"], AtomicBackend, force=True)


@HOOKS.register_module()
class CheckpointAtValidationHook(CheckpointHook):
    """Save a checkpoint whenever the schedule validates, counted in the schedule's own unit.

    The checkpoint is plain data (:mod:`oil_storage.checkpoints.serialization`) and tells how it was trained.

    Args:
        interval: iterations or epochs between checkpoints; as validation if left out.
        **kwargs: of :class:`mmengine.hooks.CheckpointHook`, or of ``Runner.save_checkpoint``.
    """

    interval: int
    before: Trained | None = None

    def __init__(self, interval: int = -1, **kwargs: Any) -> None:
        super().__init__(interval=interval, **{"backend_args": ATOMIC, **kwargs})

    def before_train(self, runner: Runner) -> None:
        """Take the unit and the interval from the train loop."""
        self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self.filename_tmpl = "epoch_{}.pth" if self.by_epoch else "iter_{}.pth"
        if self.interval < 0:
            self.interval = runner.train_loop.val_interval
        self.trained = describe(runner.cfg, self.before)
        super().before_train(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember how the weights were trained before."""
        self.before = read_meta(checkpoint["meta"], Path(str(runner._load_from))).trained

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note the config, where the weights come from and how long the iterations took; leave plain data."""
        timer = runner.message_hub.log_scalars.get("train/time")  # a resumed training has it from its beginning
        seconds = None if timer is None else float(timer.data[0].sum())
        checkpoint["meta"]["cfg"] = json.dumps(to_settings(runner.cfg))
        checkpoint["meta"]["trained"] = asdict(replace(self.trained, seconds=seconds))
        checkpoint.update(plain(checkpoint))


def find_last(work_dir: Path) -> Path | None:
    """Find the checkpoint to resume in ``work_dir``, also after the folder was moved; None if there is none.

    It is the one that ``last_checkpoint`` names, if it is intact. Otherwise it is the newest intact one of
    ``iter_*.pth`` and ``epoch_*.pth`` by their numbers; ``interrupted.pth``, whose name has no number, comes last.
    """
    numbered = [(int(match[2]), path) for path in work_dir.glob("*.pth") if (match := _NUMBERED.fullmatch(path.name))]
    candidates = [path for _, path in sorted(numbered, reverse=True)] + [work_dir / INTERRUPTED]
    pointer = work_dir / LAST
    if pointer.is_file():
        candidates.insert(0, work_dir / Path(pointer.read_text(encoding="utf-8").strip()).name)
    for path in candidates:
        with suppress(OSError, UserError):  # absent, or damaged
            check_complete(path)
            return path
    return None
