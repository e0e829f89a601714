"""Read the augmented tiles and boxes that a data pipeline passes to a model."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner

from oil_storage.engine.reproducibility import seed_everything
from oil_storage.engine.runner import use_scope
from oil_storage.errors import UserError
from oil_storage.reporting.tile_pictures import Sample


def read_samples(cfg: Config, split: str, seed: int) -> Iterator[Sample]:
    """Load tiles with the data set, pipeline and sampler of a config, in the order of training or evaluation.

    The augmentation of a sample depends only on the seed and the position, see
    :class:`oil_storage.engine.reproducibility.SeededSampler`. Therefore the samples are the same as in a training
    run.

    Args:
        cfg: result of :func:`oil_storage.config.load`.
        split: ``train`` (endless), ``val`` or ``test``.
        seed: random seed of the training.

    Yields:
        Sample: tile with its boxes: those after augmentation or, in ``test_mode``, the ground truth.

    Raises:
        UserError: the config has no loader of this split.
    """
    settings = cfg.get(f"{split}_dataloader")
    if not settings:
        raise UserError(f"{cfg.filename}: has no {split}_dataloader; use another split")
    use_scope(cfg)
    settings = {**settings, "num_workers": 0, "persistent_workers": False, "prefetch_factor": None}
    loader = Runner.build_dataloader(settings, seed=seed)
    dataset, test_mode = loader.dataset, settings["dataset"].get("test_mode", False)
    infos = map(dataset.get_data_info, range(len(dataset))) if test_mode else ()
    labels = {info["img_id"]: [box["bbox"] for box in info["instances"]] for info in infos}
    seed_everything(seed)
    for batch in loader:
        for image, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
            if test_mode:
                # test pipelines can load boxes after resizing, so these boxes are in pixels of the file
                scale = np.tile(np.float32(sample.get("scale_factor", (1, 1))), 2)
                boxes = np.array(labels[sample.img_id], np.float32).reshape(-1, 4) * scale
            else:
                boxes = sample.gt_instances.bboxes.numpy()
            pixels = image.permute(1, 2, 0).numpy().round().clip(0, 255).astype(np.uint8)
            yield Sample(Path(sample.img_path).stem, pixels, boxes)
