"""SIGINT and SIGTERM: finish the iteration, save, and stop."""

import os
import signal
import sys
from pathlib import Path
from types import FrameType, TracebackType
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
    """Training stopped by a signal; everything needed to go on is saved.

    No ``Exception``, as ``KeyboardInterrupt`` is none: a data loader that waits for a batch catches all of those, and
    blames a worker that the signal ended as well.

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
def leave_process_group(worker_id: int) -> None:
    """``worker_init_fn`` that keeps signals to the process group away from a data worker.

    Ctrl-C and torchrun signal the group: workers would die while the training process still wants to save. When it is
    done, or dead, they end too, and have nothing to tell of a connection that it closed on them.
    """
    os.setpgrp()
    sys.excepthook = _show_unless_hung_up  # which multiprocessing calls in the thread that hands over batches


def _show_unless_hung_up(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Saves ``interrupted.pth`` at the end of the iteration in which SIGINT or SIGTERM arrives, and raises.

    A second signal takes its usual course, except under a launcher, which repeats signals and kills by itself.
    A signal during validation puts validation off to the resumed training. One while a batch is waited for is heeded at
    once where no other rank must agree: it may have ended the data workers, and the batch would never come.

    Raises:
        TrainingInterrupted: out of the train loop, on all ranks after the same iteration.
    """

    priority = "LOWEST"  # after EMA, schedules and the checkpoint hook have done their part of the iteration

    previous: ClassVar[dict[signal.Signals, Any]] = {}  # of the process, as signals are

    def __init__(self) -> None:
        self.received = 0
        self.is_training = False
        self.stops_validation = False
        self.waiting: tuple[Runner, int, bool] | None = None  # for a batch, after so many iterations; or to validate

    def before_train(self, runner: Runner) -> None:
        """Take over the signals; make up for a validation that was interrupted."""
        self.received, self.is_training = 0, True
        self._release(*self.previous)  # what a training before this one has kept
        for number in SIGNALS:
            self.previous[number] = signal.signal(number, self._receive)
        if runner.message_hub.runtime_info.get(PENDING):
            runner.message_hub.update_info(PENDING, False)
            runner.val_loop.run()
        self._wait(runner, done=runner.iter)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Once torch watches its data workers, see to it that it does not raise for one that a signal ended as well."""
        self.waiting = None
        watch = signal.getsignal(signal.SIGCHLD)
        if signal.SIGCHLD not in self.previous and callable(watch):
            signal.signal(signal.SIGCHLD, lambda number, frame: None if self.received else watch(number, frame))
            self.previous[signal.SIGCHLD] = watch

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop here if a signal came; the loop counts this iteration, and validates if it is due, only afterwards."""
        done = runner.iter + 1
        due = _validates_after(runner, done)
        self._wait(runner, done, due)  # before looking: a signal in between would be heeded by neither
        number = self._agreed()
        if number:
            runner.message_hub.update_info(PENDING, due)
            self._stop(runner, number, done)

    def before_val(self, runner: Runner) -> None:
        """Stop validation only in a training, and where ranks walk through it in step and so can agree to."""
        self.waiting = None
        in_step = not is_distributed() or getattr(runner.val_dataloader.sampler, "round_up", False)
        self.stops_validation = self.is_training and in_step

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop here if a signal came."""
        number = self._agreed() if self.stops_validation else 0
        if number:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # puts the trained weights back into the model
            runner.message_hub.update_info(PENDING, True)
            self._stop(runner, number, done=runner.iter)

    def after_val(self, runner: Runner) -> None:
        """Training goes on."""
        if self.is_training:
            self._wait(runner, done=runner.iter)

    def after_train_epoch(self, runner: Runner) -> None:
        """No batch is waited for any more."""
        self.waiting = None

    def after_train(self, runner: Runner) -> None:
        """Give the signals back; a finished training needs no ``interrupted.pth``."""
        self.is_training = False
        self._release(*self.previous)
        if is_main_process():
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)
            if (last := find_last(Path(runner.work_dir))) is not None:  # where a mere validation was made up for
                self._point_to(last)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not is_distributed():
            self._release(*SIGNALS)
        if self.waiting is not None:
            runner, done, due = self.waiting
            runner.message_hub.update_info(PENDING, due)
            self._stop(runner, number, done)

    def _wait(self, runner: Runner, done: int, due: bool = False) -> None:
        in_iterations = isinstance(runner.train_loop, IterBasedTrainLoop)  # others count and save between two batches
        self.waiting = (runner, done, due) if in_iterations and not is_distributed() else None

    def _release(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            if number in self.previous:
                signal.signal(number, self.previous.pop(number))

    @staticmethod
    def _point_to(path: Path) -> None:
        write_text(path.with_name(LAST), str(path))

    def _agreed(self) -> int:
        """The signal that any rank received, 0 if none did."""
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
            self._point_to(path)
        barrier()  # a launcher kills the other ranks when one has ended
        runner.visualizer.close()
        self.waiting = None
        self._release(*SIGNALS)  # SIGCHLD stays quiet: workers that the signal ended as well may still be dying
        raise TrainingInterrupted(number, done, path)


def _validates_after(runner: Runner, done: int) -> bool:
    """Whether a schedule that counts iterations validates after so many."""
    loop = runner.train_loop
    if not isinstance(loop, IterBasedTrainLoop) or runner.val_loop is None or done < loop.val_begin:
        return False
    return bool(done % loop.val_interval == 0 or done == loop.max_iters)
