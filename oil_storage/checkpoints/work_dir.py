"""Write checkpoints atomically and find the newest intact one."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from oil_storage.checkpoints.checkpoint import Checkpoint, Trained, read_meta
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

PENDING = "validation_pending"
"""Key in the message hub of a checkpoint: whether its weights must still be validated."""

_NUMBERED = re.compile(r"(iter|epoch)_(\d+)\.pth")
_SAVED = re.compile(r"(?P<best>best_.+_)?(?P<unit>iter|epoch)_(?P<step>\d+)\.pth")


class AtomicBackend(LocalBackend):
    """Backend of mmengine that writes local files atomically."""

    outdated: list[str | Path] | None = None

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj`` to ``filepath``; see :func:`oil_storage.files.write_bytes`."""
        write_bytes(Path(filepath), obj)

    def remove(self, filepath: str | Path) -> None:
        """Remove a file, or note it in a block of :meth:`removing_last`."""
        if self.outdated is None:
            super().remove(filepath)
        else:
            self.outdated.append(filepath)

    @contextmanager
    def removing_last(self) -> Iterator[None]:
        """Remove files only at the end of the block. mmengine removes a checkpoint before it writes its successor."""
        if self.outdated is not None:  # in another such block
            yield
            return
        outdated: list[str | Path] = []
        self.outdated = outdated
        try:
            yield
        finally:
            self.outdated = None
        for path in outdated:
            Path(path).unlink(missing_ok=True)


register_backend(ATOMIC["backend"], AtomicBackend, force=True)


@HOOKS.register_module()
class CheckpointAtValidationHook(CheckpointHook):
    """Hook that adds the provenance to checkpoints and saves them in a form that can be read without executing code.

    A checkpoint that is followed by a validation states that the validation is pending (:data:`PENDING`). After the
    validation, it is saved again. A new best checkpoint is written before the previous one is removed.

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
        self.last_ckpt = runner.message_hub.runtime_info.get("last_ckpt")  # of the resumed training

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Note whether a validation follows, and save a checkpoint if it is due."""
        if not self.by_epoch:
            runner.message_hub.update_info(PENDING, self._is_validated(runner, runner.iter + 1, runner.max_iters))
        super().after_train_iter(runner, batch_idx, data_batch, outputs)

    def after_train_epoch(self, runner: Runner) -> None:
        """Note whether a validation follows, and save a checkpoint if it is due."""
        if self.by_epoch:
            runner.message_hub.update_info(PENDING, self._is_validated(runner, runner.epoch + 1, runner.max_epochs))
        super().after_train_epoch(runner)

    def _is_validated(self, runner: Runner, done: int, end: int) -> bool:
        """Return whether mmengine's train loop validates after ``done`` of ``end`` iterations or epochs."""
        loop = runner.train_loop
        is_due = done % loop.val_interval == 0 or done == end
        return runner.val_loop is not None and done >= loop.val_begin and is_due

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint, and save the validated checkpoint again, which is no longer pending."""
        pending = runner.message_hub.runtime_info.get(PENDING)
        runner.message_hub.update_info(PENDING, False)
        step = runner.epoch if self.by_epoch else runner.iter
        with self.file_backend.removing_last():
            best = runner.message_hub.runtime_info.get("best_ckpt")
            super().after_val_epoch(runner, metrics)
            is_saved = best != runner.message_hub.runtime_info.get("best_ckpt") and self.last_ckpt is not None
            if pending and not is_saved and step in self.keep_ckpt_ids:
                self._save_checkpoint_with_step(runner, step, {"epoch": runner.epoch, "iter": runner.iter})

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, int]) -> None:
        with self.file_backend.removing_last():
            super()._save_checkpoint_with_step(runner, step, meta)

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
    """Find the newest intact checkpoint, even if ``work_dir`` was moved. Return None if there is none.

    Damaged files are skipped. ``interrupted.pth`` is returned if it has more iterations than the newest ``iter_*.pth``
    or ``epoch_*.pth``.
    """
    numbered = [(int(match[2]), path) for path in work_dir.glob("*.pth") if (match := _NUMBERED.fullmatch(path.name))]
    newest = next(filter(_is_intact, (path for _, path in sorted(numbered, reverse=True))), None)
    interrupted = work_dir / INTERRUPTED
    if not _is_intact(interrupted):
        return newest
    return interrupted if newest is None or _iterations(interrupted) > _iterations(newest) else newest


def remove_outdated(checkpoint: Checkpoint) -> None:
    """Remove the checkpoints that ``checkpoint`` has replaced, and that a killed training run could not remove."""
    meta, known = checkpoint.content["meta"], checkpoint.content["message_hub"]["runtime_info"]
    kept = {Path(str(path)).name for key, path in known.items() if key.startswith("best_ckpt")}
    for path in checkpoint.path.parent.glob("*.pth"):
        if (match := _SAVED.fullmatch(path.name)) is None or path == checkpoint.path or path.name in kept:
            continue
        is_kept = match["best"] is None and int(match["step"]) in known.get("keep_ckpt_ids", [int(match["step"])])
        if int(match["step"]) <= meta[match["unit"]] and not is_kept:
            path.unlink()


def _is_intact(path: Path) -> bool:
    with suppress(OSError, UserError):  # the file is missing or damaged
        check_complete(path)
        return True
    return False


def _iterations(path: Path) -> int:
    with suppress(UserError):  # reported when the checkpoint is resumed
        return Checkpoint.read(path).meta.iter or 0
    return 0
