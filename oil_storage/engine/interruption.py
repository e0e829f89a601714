"""Stop training on SIGINT or SIGTERM: finish the iteration, save a checkpoint, and exit."""

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
from mmengine.runner import Runner

from oil_storage.checkpoints.work_dir import ATOMIC, INTERRUPTED, LAST, PENDING, find_last
from oil_storage.files import write_text

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(BaseException):
    """Raised when a signal has stopped the training and its checkpoint is saved.

    Like ``KeyboardInterrupt``, it does not derive from ``Exception``, so that libraries do not catch it.

    Attributes:
        status: exit status, 128 + signal number.
    """

    def __init__(self, signal_number: int, iteration: int, checkpoint: Path) -> None:
        super().__init__(
            f"{signal.Signals(signal_number).name}: stopped after iteration {iteration}, saved {checkpoint}; "
            "continue with --resume"
        )
        self.status = 128 + signal_number


@FUNCTIONS.register_module()
def ignore_signals(worker_id: int) -> None:
    """Ignore SIGINT and SIGTERM in a data worker (a ``worker_init_fn``).

    Ctrl-C, torchrun and Slurm send signals to all processes. The training process needs the workers until it stops.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _kill_workers() -> None:
    """Kill the data workers at exit. Otherwise, multiprocessing would wait forever, because they ignore SIGTERM."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would raise for a killed worker
    for worker in multiprocessing.active_children():
        worker.kill()


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Hook that saves ``interrupted.pth`` after the iteration in which SIGINT or SIGTERM arrives, and stops training.

    A second signal ends the process at once, without a checkpoint. A distributed run ignores it, because launchers
    repeat signals. A signal during validation stops the validation, and the resumed training repeats it first.

    Raises:
        TrainingInterrupted: a signal arrived; raised on all ranks after the same iteration.
    """

    priority = "LOWEST"  # after the hooks for EMA, schedules and checkpoints

    previous: ClassVar[dict[signal.Signals, Any]] = {}  # handlers belong to the process

    def __init__(self) -> None:
        self.received = 0
        self.is_training = False
        self.stops_validation = False

    def before_train(self, runner: Runner) -> None:
        """Install the signal handlers, and run a postponed validation."""
        self.received, self.is_training = 0, True
        self._release()  # in case an earlier training in this process has left its handlers
        for number in SIGNALS:
            self.previous[number] = signal.signal(number, self._receive)
        if runner.message_hub.runtime_info.get(PENDING):
            runner.val_loop.run()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop if a signal arrived."""
        if number := self._agreed():
            self._stop(runner, number, done=runner.iter + 1)

    def before_val(self, runner: Runner) -> None:
        """Allow stopping this validation only during training, and only if all ranks have equal numbers of batches."""
        in_step = not is_distributed() or getattr(runner.val_dataloader.sampler, "round_up", False)
        self.stops_validation = self.is_training and in_step

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Stop if a signal arrived."""
        if self.stops_validation and (number := self._agreed()):
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # restores the weights before averaging
            self._stop(runner, number, done=runner.iter)

    def after_train(self, runner: Runner) -> None:
        """Restore the signal handlers, and delete ``interrupted.pth``, which a finished training run does not need."""
        self.is_training = False
        self._release()
        if is_main_process():
            Path(runner.work_dir, INTERRUPTED).unlink(missing_ok=True)
            if (last := find_last(Path(runner.work_dir))) is not None:  # last_checkpoint may name interrupted.pth
                write_text(last.with_name(LAST), str(last))

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if not is_distributed():
            self._release()

    def _release(self) -> None:
        while self.previous:
            signal.signal(*self.previous.popitem())

    def _agreed(self) -> int:
        """Return the signal that any rank received, or 0."""
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
        barrier()  # a launcher kills the other ranks when one exits
        runner.visualizer.close()
        self._release()
        raise TrainingInterrupted(number, done, path)
