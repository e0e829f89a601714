"""Check that a checkpoint is resumed by the training that wrote it.

A checkpoint carries the optimiser, schedules, averaged weights and the position in the data. They belong to the data
and the config of that training. With others mmengine would go on with a mixture, or fail with an error of torch.
"""

from collections.abc import Iterator
from dataclasses import asdict

from mmengine.config import Config

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.provenance import data_root
from oil_storage.checkpoints.trained_config import differences, to_settings
from oil_storage.errors import UserError
from oil_storage.manifest import Manifest

SETTINGS = (
    *("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr", "custom_hooks"),
    *("randomness", "val_cfg", "val_evaluator"),
)
"""Keys of a config that define a training, and its validation, which chooses the best checkpoint."""


def check_resumable(cfg: Config, checkpoint: Checkpoint, processes: int) -> None:
    """Refuse a checkpoint of another training, or of weights alone.

    Args:
        cfg: config of the training that is to go on, set up for its launcher.
        checkpoint: to be resumed.
        processes: number of processes that are to train.

    Raises:
        UserError: the checkpoint holds weights alone, or another training wrote it; names the first difference.
    """
    path = checkpoint.path
    if not checkpoint.is_resumable:
        raise UserError(f"{path}: holds weights alone, as best_*.pth does; resume from iter_*.pth, or --load-from it")
    difference = next(_differences(cfg, checkpoint, processes), None)
    if difference:
        raise UserError(
            f"{path}: of another training: {difference}\n"
            "resume with the data, config and flags that it was started with, or start a new training\n"
            "from its weights, under the new settings: --load-from, with a --work-dir of its own"
        )


def _differences(cfg: Config, checkpoint: Checkpoint, processes: int) -> Iterator[str]:
    trained = checkpoint.meta.trained
    root = data_root(cfg)
    if root and trained and trained.data:  # older checkpoints did not note it
        data = Manifest.load(root).identity
        if data.sha256 != trained.data.sha256:
            before, now = ({**asdict(identity), "name": None} for identity in (trained.data, data))
            yield from differences(before, now, f"{root}: data")
    if trained and trained.processes != processes:
        yield f"it ran in {trained.processes} processes, would in {processes}"
    before, now = checkpoint.trained_settings(), to_settings(cfg)
    for key in SETTINGS:
        yield from differences(before.get(key), now.get(key), key)
    for key in ("dataset", "sampler"):  # in batches of any size
        old, new = ((settings.get("val_dataloader") or {}).get(key) for settings in (before, now))
        yield from differences(old, new, f"val_dataloader.{key}")
