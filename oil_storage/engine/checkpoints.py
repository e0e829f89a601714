"""When checkpoints are written, and that they are whole."""

import os
import zipfile
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from oil_storage.errors import UserError

WHOLE_FILES = {"backend": "whole_files"}
"""mmengine ``backend_args`` under which a file is whole or absent, whatever kills the process."""


class WholeFileBackend(LocalBackend):
    """Local files, written under another name and renamed when complete."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``, replacing an older file in one step."""
        path = Path(filepath)
        partial = path.with_name(f".{path.name}.partial")
        super().put(obj, partial)
        os.replace(partial, path)


register_backend(WHOLE_FILES["backend"], WholeFileBackend, force=True)


@HOOKS.register_module()
class CheckpointAtValidationHook(CheckpointHook):
    """A checkpoint whenever the schedule validates, counted in the schedule's own unit.

    Args:
        interval: iterations or epochs between checkpoints; as validation if left out.
        **kwargs: of :class:`mmengine.hooks.CheckpointHook`.
    """

    interval: int

    def __init__(self, interval: int = -1, **kwargs: Any) -> None:
        super().__init__(interval=interval, **{"backend_args": WHOLE_FILES, **kwargs})

    def before_train(self, runner: Runner) -> None:
        """Take the unit and the interval from the train loop."""
        self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self.filename_tmpl = "epoch_{}.pth" if self.by_epoch else "iter_{}.pth"
        if self.interval < 0:
            self.interval = runner.train_loop.val_interval
        super().before_train(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Refuse to resume from weights alone; mmengine would start the optimiser and the schedule anew, silently.

        Raises:
            UserError: the checkpoint was not written to be resumed.
        """
        if runner._resume and not {"meta", "optimizer", "message_hub"} <= checkpoint.keys():
            name = runner._load_from
            raise UserError(
                f"{name}: holds weights alone, as best_*.pth does; resume from iter_*.pth, or --load-from it"
            )


def check_whole(path: Path) -> None:
    """Refuse a file that cannot be a checkpoint, or is the beginning of one.

    Raises:
        UserError: neither a whole zip archive, as torch writes since 1.6, nor a pickle, as it did before.
    """
    with path.open("rb") as file:
        start = file.read(2)
    if not zipfile.is_zipfile(path) and start != b"\x80\x02":
        raise UserError(f"{path}: {'a truncated' if start == b'PK' else 'not a'} checkpoint")


def find_last(work_dir: Path) -> Path | None:
    """The checkpoint to resume in ``work_dir``, also after the folder was moved; None if there is none."""
    pointer = work_dir / "last_checkpoint"
    if not pointer.is_file():
        return None
    path = work_dir / Path(pointer.read_text(encoding="utf-8").strip()).name
    return path if path.is_file() else None
