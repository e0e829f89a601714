import json
from pathlib import Path

import pytest

from oil_storage.cli.export import main as export
from oil_storage.cli.release import main
from oil_storage.cli.test import main as score
from oil_storage.cli.train import main as train
from oil_storage.files import sha256
from oil_storage.inference.onnx_detector import OnnxDetector
from oil_storage.inference.onnx_metadata import read_metadata
from oil_storage.inference.precision_comparison import Accuracy, Comparison, accuracy
from tests.tiny_training import write_config, write_data


def test_8_bits_are_the_default_only_if_fast_and_accurate() -> None:
    float32 = Accuracy(0.58, 0.93, 0.9)
    assert Comparison(float32, Accuracy(0.5755, 0.9, 0.8975), [0.2, 0.1]).is_better
    assert not Comparison(float32, Accuracy(0.5755, 0.9, 0.8975), [0.1, 0.1]).is_better
    assert not Comparison(float32, Accuracy(0.574, 0.93, 0.9), [0.2, 0.1]).is_better
    assert not Comparison(float32, Accuracy(0.58, 0.93, 0.896), [0.2, 0.1]).is_better


@pytest.mark.slow
def test_release_writes_all_that_ships(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_data(tmp_path)
    config, work = write_config(tmp_path, data), tmp_path / "work"
    assert train([str(config), "--work-dir", str(work)]) == 0
    argv = [str(config), str(work / "iter_8.pth"), "--root", str(tmp_path / "root")]
    assert main(argv) == 2
    assert "iter_8.pth: has no score threshold; run tools/test.py --split val first" in capsys.readouterr().err
    assert score([*argv[:2], "--split", "val", "--work-dir", str(work)]) == 0
    assert main(argv) == 0
    weights = tmp_path / "root" / "weights" / f"{config.stem}.safetensors"
    exported = tmp_path / "root" / "oil_storage" / "weights" / f"{config.stem}.onnx"
    small = exported.with_suffix(".int8.onnx")
    assert {read_metadata(path).checkpoint_sha256 for path in (exported, small)} == {sha256(weights)}
    row = next(line for line in weights.with_suffix(".md").read_text().splitlines() if line.startswith("| onnx/"))
    assert (row.split()[1] in read_metadata(small).int8_for) == row.endswith("| 8 bits |")
    before = exported.stat().st_mtime_ns, sha256(small)
    assert main(argv) == 0  # measures again, and exports nothing
    assert exported.stat().st_mtime_ns == before[0]
    assert weights.with_suffix(".md").read_text().count("| onnx/") == 1
    # The accuracy is that of tools/test.py. F1 is not compared: many scores of this detector are near the threshold.
    assert export([*argv[:2], "--out", str(tmp_path / "a.onnx")]) == 0
    figures = json.loads((work / "val" / "metrics.json").read_text())
    found = accuracy(OnnxDetector(tmp_path / "a.onnx", "cpu"), data, figures["tiles"])
    assert found.ap == pytest.approx(figures["metrics"]["coco/bbox_mAP"], abs=0.01)
    assert found.ap50 == pytest.approx(figures["metrics"]["coco/bbox_mAP_50"], abs=0.01)
