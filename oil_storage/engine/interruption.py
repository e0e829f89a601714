"""Finish the iteration on SIGINT or SIGTERM, save a checkpoint, and stop."""

import atexit
import multiprocessing
import signal
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import torch
from mmengine.dist import all_reduce, barrier, is_distributed, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.registry import FUNCTIONS, HOOKS
from mmengine.runner import IterBasedTrainLoop, Runner

from oil_storage.checkpoints.work_dir import ATOMIC, INTERRUPTED, LAST, find_last
from oil_storage.files import write_text

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PENDING = "validation_pending"


class TrainingInterrupted(BaseException):
    """Training stopped by a signal; everything needed to resume it is saved.

    It is no ``Exception``, as ``KeyboardInterrupt`` is none, so that libraries do not catch it.

    Attributes:
        status: exit status, 128 + the signal's number.
    """

    def __init__(self, signal_number: int, iteration: int, checkpoint: Path) -> None:
        super().__init__(
            f"{signal.Signals(signal_number).name}: stopped after iteration {iteration}, saved {checkpoint}; "
            "--resume carries on"
        )
        self.status = 128 + signal_number


@FUNCTIONS.register_module()
def ignore_signals(worker_id: int) -> None:
    """Make a data worker ignore SIGINT and SIGTERM (a ``worker_init_fn``).

    Ctrl-C, torchrun and Slurm signal all processes, and the training process still needs batches until it has saved.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _kill_workers() -> None:
    """End the data workers with the training process: multiprocessing would send SIGTERM and wait forever."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch raises for a worker that is killed
    for worker in multiprocessing.active_children():
        worker.kill()


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Saves ``interrupted.pth`` at the end of the iteration in which SIGINT or SIGTERM arrives, and raises.

    A second signal takes its usual course, except under a launcher, which repeats signals and kills by itself.
    A signal during validation postpones the validation to the resumed training.

    Raises:
        TrainingInterrupted: out of the train loop, on all ranks after the same iteration.
    """

    priority = "LOWEST"  # after EMA, schedules and the checkpoint hook have done their part of the iteration

    previous: ClassVar[dict[signal.Signals, Any]] = {}  # handlers belong to the process

    def __init__(self) -> None:
        self.received = 0
        self.is_training = False
        self.stops_validation = False

    def before_train(self, runner: Runner) -> None:
        """Take over the signals; run a validation that was postponed."""
        self.received, self.is_training = 0, True
        self._release()  # handlers that an earlier training of this process has kept
        for number in SIGNALS:
            self.previous[number] = signal.signal(number, self._receive)
        if runner.message_hub.runtime_info.get(PENDING):
            runner.message_hub.update_info(PENDING, False)
            runner.val_loop.run()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop here if a signal came; the loop counts this iteration, and validates if it is due, only afterwards."""
        if number := self._agreed():
            done = runner.iter + 1
            runner.message_hub.update_info(PENDING, _validates_after(runner, done))
            self._stop(runner, number, done)

    def before_val(self, runner: Runner) -> None:
        """Allow a stop only in a training, and where all ranks see the same number of batches and so can agree."""
        in_step = not is_distributed() or getattr(runner.val_dataloader.sampler, "round_up", False)
        self.stops_validation = self.is_training and in_step

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop here if a signal came."""
        if self.stops_validation and (number := self._agreed()):
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # puts the trained weights back into the model
            runner.message_hub.update_info(PENDING, True)
            self._stop(runner, number, done=runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Give the signals back; a finished training needs no ``interrupted.pth``."""
        self.is_training = False
        self._release()
        if is_main_process():
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)
            if (last := find_last(Path(runner.work_dir))) is not None:  # where only a postponed validation was run
                write_text(last.with_name(LAST), str(last))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not is_distributed():
            self._release()

    def _release(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())

    def _agreed(self) -> int:
        """Return the signal that any rank received, 0 if none did."""
        if not is_distributed():
            return self.received
        number = torch.tensor(self.received)
        all_reduce(number, op="max")
        return int(number)

    def _stop(self, runner: Runner, number: int, done: int) -> None:
        path = Path(runner.work_dir, INTERRUPTED)
        meta = {"epoch": runner.epoch, "iter": done}
        runner.save_checkpoint(str(path.parent), path.name, meta=meta, backend_args=ATOMIC)
        if is_main_process():
            write_text(path.with_name(LAST), str(path))
        barrier()  # a launcher kills the other ranks when one has ended
        runner.visualizer.close()
        self._release()
        raise TrainingInterrupted(number, done, path)


def _validates_after(runner: Runner, done: int) -> bool:
    """Return whether a schedule that counts iterations validates after so many."""
    loop = runner.train_loop
    if not isinstance(loop, IterBasedTrainLoop) or runner.val_loop is None or done < loop.val_begin:
        return False
    return bool(done % loop.val_interval == 0 or done == loop.max_iters)
