"""When checkpoints are written, and that they are whole."""

import inspect
import os
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, Runner

from oil_storage.engine import weights_file
from oil_storage.engine.provenance import TRAINED, describe
from oil_storage.errors import UserError

WHOLE_FILES = {"backend": "whole_files"}
"""mmengine ``backend_args`` under which a file is whole or absent, whatever kills the process."""


INTERRUPTED = "interrupted.pth"
"""The checkpoint that a signal leaves."""

LAST = "last_checkpoint"
"""The file that names the newest one, as mmengine calls it."""

_NUMBERED = re.compile(r"(iter|epoch)_(\d+)\.pth")


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
        **kwargs: of :class:`mmengine.hooks.CheckpointHook`, or of ``Runner.save_checkpoint``.

    Raises:
        TypeError: an argument of neither; mmengine would find out when it saves.
    """

    interval: int
    before: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, interval: int = -1, **kwargs: Any) -> None:
        super().__init__(interval=interval, **{"backend_args": WHOLE_FILES, **kwargs})
        if unknown := self.args.keys() - inspect.signature(Runner.save_checkpoint).parameters:
            raise TypeError(f"{type(self).__name__}: unexpected keyword argument {unknown.pop()!r}")

    def before_train(self, runner: Runner) -> None:
        """Take the unit and the interval from the train loop."""
        self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        self.filename_tmpl = "epoch_{}.pth" if self.by_epoch else "iter_{}.pth"
        if self.interval < 0:
            self.interval = runner.train_loop.val_interval
        self.trained = describe(runner.cfg, self.before)
        super().before_train(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Keep in mind how the weights were trained before."""
        self.before = checkpoint.get("meta", {}).get(TRAINED, {})

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Note where the weights come from, and how long the iterations took."""
        timer = runner.message_hub.log_scalars.get("train/time")  # of a resumed training, from its beginning
        seconds = None if timer is None else float(timer.data[0].sum())
        checkpoint["meta"][TRAINED] = {**self.trained, "seconds": seconds}


def check_whole(path: Path) -> None:
    """Refuse a file that cannot be a checkpoint, or is the beginning of one; safetensors are seen whole when read.

    Raises:
        UserError: neither a whole zip archive of torch's, as it writes since 1.6, nor a pickle, as it did before.
    """
    if path.suffix.lower() == weights_file.SUFFIX:
        return
    with path.open("rb") as file:
        start = file.read(2)
    if not zipfile.is_zipfile(path):
        if start != b"\x80\x02":
            raise UserError(f"{path}: {'a truncated' if start == b'PK' else 'not a'} checkpoint")
        return
    with zipfile.ZipFile(path) as archive:
        if not any(name.endswith("/data.pkl") for name in archive.namelist()):
            raise UserError(f"{path}: not a checkpoint")
        if archive.testzip() is not None:  # torch loads it without a look at the checksums
            raise UserError(f"{path}: a damaged checkpoint")


def find_last(work_dir: Path) -> Path | None:
    """The checkpoint to resume in ``work_dir``, also after the folder was moved; None if there is none.

    It is the one that ``last_checkpoint`` names, if that is there and whole. Otherwise the newest whole one is taken,
    ``iter_*.pth`` and ``epoch_*.pth`` by their numbers; ``interrupted.pth``, whose name tells no number, comes last.
    """
    numbered = {int(match[2]): path for path in work_dir.glob("*.pth") if (match := _NUMBERED.fullmatch(path.name))}
    found = [numbered[number] for number in sorted(numbered, reverse=True)] + [work_dir / INTERRUPTED]
    pointer = work_dir / LAST
    if pointer.is_file():
        found.insert(0, work_dir / Path(pointer.read_text(encoding="utf-8").strip()).name)
    return next((path for path in found if _is_whole(path)), None)


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        check_whole(path)
    except UserError:
        return False
    return True
