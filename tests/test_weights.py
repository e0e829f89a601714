"""Shipped weights: their cards are correct, and they detect tanks."""

import ast
import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from oil_storage import shipped
from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.cli.detect import command as detect
from oil_storage.files import sha256
from oil_storage.inference import SceneDetector
from oil_storage.inference.onnx_metadata import read_metadata
from oil_storage.inference.runtimes import INT8
from oil_storage.iou import iou_matrix
from oil_storage.reporting.results import read
from oil_storage.synthetic import make_synthetic

WEIGHTS = sorted(Path("weights").glob("*.safetensors"))


def test_weights_folder_contains_only_weights_and_cards() -> None:
    assert WEIGHTS
    cards = [path.with_suffix(".md") for path in WEIGHTS]
    assert sorted(Path("weights").iterdir()) == sorted([*WEIGHTS, *cards])
    config, weights = shipped.checkpoint()
    assert weights in [path.resolve() for path in WEIGHTS]
    assert config.stem == weights.stem


def test_shipped_detector_is_an_export_of_the_weights() -> None:
    _, exported = shipped.detector()
    about, checkpoint = read_metadata(exported), Checkpoint.read(shipped.WEIGHTS)
    assert about.checkpoint_sha256 == sha256(shipped.WEIGHTS)
    assert (about.config, about.score_threshold) == (shipped.NAME, checkpoint.threshold())
    assert about.false_alarms == checkpoint.false_alarm_thresholds()
    assert exported.stat().st_size <= 20e6


def test_8_bit_version_belongs_to_the_detector_and_the_card_lists_where_it_is_the_default() -> None:
    _, exported = shipped.detector()
    about, small = read_metadata(exported), read_metadata(exported.with_suffix(INT8))
    assert small == replace(about, int8_for=small.int8_for)
    lines = shipped.WEIGHTS.with_suffix(".md").read_text().splitlines()
    rows = [line for line in lines if line.startswith(("| onnx/", "| openvino/"))]
    assert rows
    assert sorted(row.split()[1] for row in rows if row.endswith("| 8 bits |")) == small.int8_for


def test_both_precisions_find_the_same_tanks_and_are_never_mixed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_synthetic(tmp_path, 1, 640, 0)
    (image,) = map(str, (tmp_path / "images").iterdir())
    boxes = []
    for precision in ("float32", "int8"):
        argv = [image, "--scale", "1", "--no-html", "--precision", precision, "--out", str(tmp_path / "out")]
        assert detect([*argv, "--backend", "onnx"]) == 0
        printed, messages = capsys.readouterr()
        assert f"computed with onnx, {precision}\n" in printed
        assert "skipped" not in messages  # also not after a run in the other precision
        assert json.loads((tmp_path / "out" / "summary.json").read_text())["made_by"]["precision"] == precision
        rows = csv.DictReader((tmp_path / "out" / f"{Path(image).stem}.csv").open())
        boxes.append(np.array([[row[name] for name in ("xmin", "ymin", "xmax", "ymax")] for row in rows], np.float32))
    overlaps = iou_matrix(*boxes)
    assert overlaps.shape == (3, 3)
    assert (overlaps.max(axis=1) > 0.8).all()


@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_card_states_the_facts_of_its_weights(path: Path) -> None:
    assert path.stat().st_size <= 20e6
    card, checkpoint = path.with_suffix(".md").read_text(), Checkpoint.read(path)
    assert checkpoint.meta.trained is not None
    assert checkpoint.meta.trained.config == path.stem
    assert f"{checkpoint.threshold():.3f}" in card
    assert "CC BY-NC-SA 4.0" in card
    runs = [run for run in read(Path("results"))[path.stem].runs if run.seed == checkpoint.meta.seed]
    assert {run.split for run in runs} == {"val", "test"}
    for run in runs:
        scenes = run.scenes
        assert scenes is not None
        if not run.tta:  # TTA has its own threshold
            assert scenes.threshold == pytest.approx(checkpoint.threshold())
        figures = (run.metrics["coco/bbox_mAP"], run.metrics["coco/bbox_mAP_50"], scenes.ap50, scenes.f1)
        row = " | ".join(f"{value:.3f}" for value in figures)
        views = ", `--tta`" if run.tta else ""
        assert f"| {run.split}{views} | {row} |" in card


@pytest.mark.slow
@pytest.mark.parametrize("path", WEIGHTS, ids=lambda path: path.stem)
def test_weights_find_tanks_in_unseen_scenes(path: Path, tmp_path: Path) -> None:
    make_synthetic(tmp_path, 1, 1280, 0)
    (image,) = (tmp_path / "images").iterdir()
    rows = csv.DictReader((tmp_path / "annotations.csv").open())
    truth = np.array([ast.literal_eval(row["bounds"]) for row in rows], np.float32)
    detections = SceneDetector(Path("configs/oil", f"{path.stem}.py"), path).detect(str(image))
    assert len(truth) > 3
    assert (iou_matrix(truth, detections.boxes).max(axis=1, initial=0) >= 0.5).mean() > 0.5
