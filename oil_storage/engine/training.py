"""Train a detector: check config and data, find the initial checkpoint, and run."""

import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from mmengine.config import Config

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.download import resolve
from oil_storage.checkpoints.provenance import check_resumable, data_root
from oil_storage.checkpoints.work_dir import INTERRUPTED, PENDING, find_last, remove_outdated
from oil_storage.engine import distributed
from oil_storage.engine.config_values import check_buildable, check_values
from oil_storage.engine.from_scratch import from_scratch
from oil_storage.engine.runner import ConciseRunner, check_tiles, use_scope
from oil_storage.errors import UserError
from oil_storage.files import locked, remove_partial
from oil_storage.schedule import keep_epochs

logger = logging.getLogger(__name__)
AUTO = "auto"
"""Value of ``resume`` that selects the newest checkpoint of the work dir."""


def train(cfg: Config, *, launcher: str = "none", resume: str | None = None, scratch: bool = False) -> None:
    """Train the detector of a config. On SIGINT or SIGTERM, save a checkpoint and raise.

    Args:
        cfg: see :func:`oil_storage.config.load`; changed in place.
        launcher: ``none``, ``pytorch`` or ``slurm``.
        resume: checkpoint to resume, or :data:`AUTO`; None starts a new run, unless the config sets ``resume``.
        scratch: load no weights and freeze no layers.

    Raises:
        UserError: data, checkpoint or config are not valid for this training run, or the loss is not finite.
        TrainingInterrupted: see :class:`oil_storage.engine.interruption.InterruptionHook`.
    """
    use_scope(cfg)
    check_values(cfg)
    if scratch:
        from_scratch(cfg)
        logger.info("training from scratch: no weights are loaded, and no layers are frozen")
    distributed.prepare(cfg, launcher)
    processes = distributed.processes(cfg)
    if message := keep_epochs(cfg, processes):
        logger.info(message)
    for name in ("train_dataloader", "val_dataloader"):
        if cfg.get(name):
            cfg[name].setdefault("worker_init_fn", {"type": "ignore_signals"})
            check_tiles(cfg, name)  # before a checkpoint is downloaded
    work_dir = Path(cfg.work_dir)
    resume = resume or (cfg.get("resume") and (cfg.get("load_from") or AUTO)) or None
    last = find_last(work_dir) if resume == AUTO else Path(resume) if resume else None
    if not resume and (work_dir / INTERRUPTED).is_file():
        raise UserError(
            f"{work_dir}: contains an interrupted training run; continue it with --resume,\n"
            f"or start a new one with another --work-dir, or after deleting {work_dir / INTERRUPTED}"
        )
    if last is not None:
        cfg.resume, cfg.load_from = True, str(last)
    if cfg.get("load_from"):
        path = resolve(str(cfg.load_from))
        cfg.load_from = str(path)
        checkpoint = Checkpoint.read(path)
        if last is not None:
            check_resumable(cfg, checkpoint, processes)
        if root := data_root(cfg):
            checkpoint.check_unseen(root, "val")
    check_buildable(cfg)
    work_dir.mkdir(parents=True, exist_ok=True)
    is_first = launcher == "none" or os.environ["RANK"] == "0"
    with locked(work_dir) if is_first else nullcontext():  # ranks share the lock: the others wait for the first
        if is_first:
            remove_partial(work_dir)
        if last is not None:
            if is_first and last.parent.resolve() == work_dir.resolve():
                remove_outdated(checkpoint)
            if _is_finished(cfg, checkpoint):
                logger.info("%s: training is already complete (%d iterations)", last, checkpoint.meta.iter)
                return
        if resume:
            start = f"{work_dir}: no checkpoint to resume; starting a new training run"
            logger.info(f"resuming {last}" if last else start)
        with _explained(cfg):
            ConciseRunner.from_cfg(cfg).train()


@contextmanager
def _explained(cfg: Config) -> Iterator[None]:
    """Raise UserError for lack of memory and killed data workers, and name the work dir in errors of its disk."""
    loader = cfg.train_dataloader
    batch, workers = loader.get("batch_size", 1), loader.get("num_workers", 0)
    smaller = (
        f"lower train_dataloader.batch_size from {batch} to {batch // 2}" if batch > 1 else "use a smaller detector"
    )
    try:
        yield
    except torch.OutOfMemoryError as error:
        precision = "" if cfg.optim_wrapper.type == "Bf16OptimWrapper" else ", or compute in bfloat16 with --amp"
        raise UserError(f"{cfg.work_dir}: out of memory on CUDA; {smaller}{precision}") from error
    except MemoryError as error:
        raise UserError(f"{cfg.work_dir}: out of memory; {smaller}") from error
    except RuntimeError as error:
        if "DefaultCPUAllocator" in str(error):
            raise UserError(f"{cfg.work_dir}: out of memory; {smaller}") from error
        if "DataLoader worker" not in str(error):
            raise
        fewer = f"lower num_workers of the loaders from {workers} to {workers // 2}, and " if workers else ""
        raise UserError(
            f"{cfg.work_dir}: a data worker was killed ({str(error).splitlines()[0]});\n"
            f"free some memory, {fewer}continue with --resume"
        ) from error
    except OSError as error:
        if error.filename is None:
            error.filename = cfg.work_dir
        raise


def _is_finished(cfg: Config, checkpoint: Checkpoint) -> bool:
    """Return whether a checkpoint has all iterations or epochs of a config, and its last validation is done."""
    done, length = checkpoint.content["meta"], cfg.train_cfg
    is_complete = (
        done["iter"] >= length.max_iters
        if "max_iters" in length
        else done["epoch"] >= length.get("max_epochs", math.inf)
    )
    return is_complete and not checkpoint.content["message_hub"]["runtime_info"].get(PENDING)
