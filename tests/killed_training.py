"""Train in forked processes, kill each at one of its changes to the work dir, and resume it.

``python -m tests.killed_training CONFIG FOLDER KILLS`` prints a JSON object per line: the uninterrupted training, then
each killed and resumed one. It fails if a checkpoint is damaged after a kill. The process that forks the trainings has
imported the packages, so a training starts in a second, but has not computed anything, so forking is safe.
"""

import contextlib
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from tests.killed_process import forked, watch

WATCHED = re.compile(r"\.pth|last_checkpoint|scalars\.json|\.log$")
"""Files of a work dir whose changes are the moments to kill at."""


@METRICS.register_module(force=True)
class MeanScoreMetric(BaseMetric):
    """Metric that changes with the weights even if they detect nothing."""

    default_prefix = "mean"

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += [float(sample["pred_instances"]["scores"].mean()) for sample in data_samples]

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"score": sum(results) / len(results)}


def digest(path: Path) -> dict[str, str]:
    """Return the SHA-256 of each part of a checkpoint's state: weights, averages, optimiser and schedules."""
    content = torch.load(path, weights_only=False)
    del content["meta"]
    hub = content.pop("message_hub", {})
    content["losses"] = hub.get("log_scalars", {}).get("train/loss")
    content["best"] = [Path(str(hub.get("runtime_info", {}).get(key))).name for key in ("best_ckpt", "last_ckpt")]
    return {key: hashlib.sha256(_bytes(value)).hexdigest()[:12] for key, value in content.items()}


def _bytes(value: Any) -> bytes:
    if isinstance(value, torch.Tensor):
        return value.numpy().tobytes()
    if isinstance(value, dict):
        return b"".join(str(key).encode() + _bytes(part) for key, part in value.items())
    if isinstance(value, list | tuple):
        return b"".join(map(_bytes, value))
    return repr(value).encode()


def validations(work: Path) -> dict[int, float]:
    """Return the score of each validation, by iteration."""
    scores: dict[int, float] = {}
    for log in sorted(work.glob("*/vis_data/scalars.json")):
        for line in log.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:  # the line that was written when the process was killed
                continue
            if "mean/score" in entry:
                step = int(entry["step"])
                assert scores.setdefault(step, entry["mean/score"]) == entry["mean/score"], f"{step} differs"
    return scores


def state(work: Path) -> dict[str, Any]:
    """Describe the results of a training run."""
    checkpoints = {path.name: digest(path) for path in sorted(work.glob("*.pth"))}
    others = sorted(path.name for path in work.iterdir() if path.is_file() and path.suffix not in (".pth", ".py"))
    return {"checkpoints": checkpoints, "others": others, "validations": validations(work)}


def main(config: str, folder: Path, kills: int) -> None:
    """Kill and resume a training at ``kills`` moments, spread evenly over its changes of the work dir."""
    with contextlib.redirect_stdout(sys.stderr):  # mmdet prints missing optional packages
        import mmdet.datasets
        import mmdet.models  # noqa: F401 - so that forked trainings need not import it

        import oil_storage.engine.training  # noqa: F401
    from oil_storage.checkpoints.serialization import check_complete
    from oil_storage.cli.train import main as train
    from oil_storage.files import is_partial

    whole, events = folder / "whole", folder / "events" / "whole.txt"

    def run(work: Path, log: Path, at: int | None = None, *flags: str) -> int:
        def body() -> int:
            watch(work, WATCHED, at, folder / "events" / f"{log.stem}.txt")
            return train([config, "--work-dir", str(work), *flags])

        return forked(body, log)

    status = run(whole, folder / "whole.log")
    moments = events.read_text().splitlines()
    print(json.dumps({"status": status, "moments": len(moments), **state(whole)}), flush=True)
    for kill in range(kills):
        at = kill * len(moments) // kills
        work, log = folder / f"work_{at}", folder / f"killed_{at}.log"
        killed = run(work, log, at)
        for path in work.glob("*.pth") if work.exists() else ():
            if not is_partial(path):
                check_complete(path)
        had = sorted(path.name for path in work.glob("*.pth")) if work.exists() else []
        resumed = run(work, folder / f"resumed_{at}.log", None, "--resume")
        again = run(work, folder / f"again_{at}.log", None, "--resume")
        message = (folder / f"again_{at}.log").read_text()
        found = {"killed": killed, "at": moments[at], "had": had, "resumed": resumed, "again": again}
        complete = "training is already complete" in message
        print(json.dumps({**found, "complete": complete, **state(work)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
