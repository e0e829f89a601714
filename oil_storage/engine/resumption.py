"""That a checkpoint is resumed by the training that wrote it.

What a checkpoint carries - optimiser, schedules, averaged weights, position in the data - belongs to the data and the
config that it was trained with. Under others mmengine goes on with a mixture of both, or fails in torch's words.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from oil_storage.engine import distributed
from oil_storage.engine.provenance import TRAINED, data_root, differences, trained_config
from oil_storage.errors import UserError
from oil_storage.preparation import manifest

SETTINGS = (
    *("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr", "custom_hooks"),
    *("randomness", "val_cfg", "val_evaluator"),
)
"""Keys of a config that make a training what it is; its validation too, which chooses the best checkpoint."""


def check_resumable(cfg: Config, checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint of another training, or of weights alone.

    Args:
        cfg: to be trained with, set up for its launcher.
        checkpoint: see :func:`oil_storage.engine.provenance.read`.
        path: what the error calls it.

    Raises:
        UserError: the checkpoint was not written to be resumed, or with the first difference of the trainings.
    """
    if not {"optimizer", "message_hub"} <= checkpoint.keys():
        raise UserError(f"{path}: holds weights alone, as best_*.pth does; resume from iter_*.pth, or --load-from it")
    difference = next(_differences(cfg, checkpoint, path), None)
    if difference:
        raise UserError(
            f"{path}: of another training: {difference}\n"
            "resume with the data, config and flags that it was started with, or start a new training\n"
            "from its weights, under the new settings: --load-from, with a --work-dir of its own"
        )


def _differences(cfg: Config, checkpoint: Mapping[str, Any], path: Path) -> Iterator[str]:
    trained = checkpoint["meta"].get(TRAINED)
    root = data_root(cfg)
    if root and trained and trained["data"]:  # checkpoints of before did not note it
        data = manifest.identity(manifest.read(root))
        if data["sha256"] != trained["data"]["sha256"]:
            yield from differences({**trained["data"], "name": None}, {**data, "name": None}, f"{root}: data")
    processes = distributed.processes(cfg)
    if trained and trained["processes"] != processes:
        yield f"it ran in {trained['processes']} processes, would in {processes}"
    before = trained_config(checkpoint, path)
    for key in SETTINGS:
        yield from differences(before.get(key), cfg.get(key), key)
    for key in ("dataset", "sampler"):  # in batches of any size
        old, new = ((one.get("val_dataloader") or {}).get(key) for one in (before, cfg))
        yield from differences(old, new, f"val_dataloader.{key}")
