"""Validations of a training run, from the log files in its work dir."""

import json
from contextlib import suppress
from pathlib import Path

from oil_storage.figures import metric_key

Metrics = dict[str, float]


def validations(work_dir: Path) -> dict[int, Metrics]:
    """Return the metrics of each validation, such as ``coco/bbox_mAP``, by the number of iterations before it.

    A resumed run has several log files; the last value counts. A line that a killed run left incomplete is skipped. In
    epoch-based training, the keys are epochs.
    """
    found: dict[int, Metrics] = {}
    for log in sorted(work_dir.glob("*/vis_data/scalars.json")):
        for line in log.read_text(encoding="utf-8").splitlines():
            with suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if metric_key("mAP") in entry:
                    found[entry["step"]] = entry
    return dict(sorted(found.items()))
