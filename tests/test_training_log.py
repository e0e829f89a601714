import json
from pathlib import Path

from oil_storage.training_log import validations


def write_log(work_dir: Path, run: str, entries: list[dict[str, float]]) -> None:
    log = work_dir / run / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_validations_of_a_resumed_run_are_joined(tmp_path: Path) -> None:
    write_log(tmp_path, "20260102_000000", [{"coco/bbox_mAP": 0.4, "step": 20}, {"coco/bbox_mAP": 0.5, "step": 30}])
    interrupted = [{"coco/bbox_mAP": 0.1, "step": 10}, {"loss": 1.0, "step": 15}, {"coco/bbox_mAP": 0.3, "step": 20}]
    write_log(tmp_path, "20260101_000000", interrupted)
    write_log(tmp_path / "val", "20260103_000000", [{"coco/bbox_mAP": 0.9, "step": 30}])  # of tools/test.py
    ap = {step: metrics["coco/bbox_mAP"] for step, metrics in validations(tmp_path).items()}
    assert list(ap.items()) == [(10, 0.1), (20, 0.4), (30, 0.5)]


def test_incomplete_line_of_a_killed_run_is_skipped(tmp_path: Path) -> None:
    write_log(tmp_path, "20260101_000000", [{"coco/bbox_mAP": 0.1, "step": 10}])
    with next(tmp_path.rglob("scalars.json")).open("a") as log:
        log.write('{"coco/bbox_mAP": 0.3, "st')
    assert list(validations(tmp_path)) == [10]


def test_run_without_validation_has_none(tmp_path: Path) -> None:
    write_log(tmp_path, "20260101_000000", [{"loss": 1.0, "step": 15}])
    assert validations(tmp_path) == {}
