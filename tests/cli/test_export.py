import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from oil_storage.cli.detect import main as detect
from oil_storage.cli.export import main
from oil_storage.cli.test import main as score
from oil_storage.cli.train import main as train
from tests.tiny_training import write_config, write_data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Return config, checkpoint and the folder of images."""
    folder = tmp_path_factory.mktemp("export")
    config = write_config(folder, write_data(folder))
    assert train([str(config), "--work-dir", str(folder / "work")]) == 0
    return config, folder / "work" / "iter_8.pth", folder / "raw" / "images"


def test_exported_detector_finds_the_same_tanks(
    trained: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, checkpoint, images = trained
    out = tmp_path / "new" / "a.onnx"
    assert main([str(config), str(checkpoint), "--to", "onnx", "--out", str(out)]) == 0
    assert "RGB tiles (N, 3, 64, 64)" in capsys.readouterr().out
    flags = ["--score-thr", "0.01", "--overlap", "16"]
    for name, model in (("torch", checkpoint), ("onnx", out)):
        argv = [str(config), str(model), str(images), "--out", str(tmp_path / name), *flags]
        assert detect(argv) == 0
    for path in sorted((tmp_path / "torch").glob("*.coco.json")):
        torch_boxes, onnx_boxes = (
            json.loads((folder / path.name).read_text())["annotations"] for folder in (path.parent, tmp_path / "onnx")
        )
        assert abs(len(torch_boxes) - len(onnx_boxes)) <= 0.01 * len(torch_boxes) + 1
        second = np.array([[*box["bbox"], 500 * box["score"]] for box in onnx_boxes])
        first = np.array([[*box["bbox"], 500 * box["score"]] for box in torch_boxes])
        assert (np.abs(first[:, None] - second[None]).max(axis=2).min(axis=1) <= 0.5).mean() >= 0.99


@pytest.mark.slow
def test_safetensors_can_be_used_to_detect_test_and_train(
    trained: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, checkpoint, images = trained
    weights = tmp_path / "detector.safetensors"
    scores = []
    for name, model in (("trained", checkpoint), ("released", weights)):
        if model == weights:  # after scoring has stored the threshold
            assert main([str(config), str(checkpoint), "--to", "safetensors", "--out", str(weights)]) == 0
            assert weights.stat().st_size < checkpoint.stat().st_size / 2
            given = weights.read_bytes()
        flags = ["--split", "val", "--work-dir", str(tmp_path / name)]
        assert score([str(config), str(model), *flags]) == 0
        scores.append(json.loads((tmp_path / name / "val" / "metrics.json").read_text()))
    assert weights.read_bytes() == given
    assert scores[1]["changes"] == []
    assert scores[1]["trained"] == scores[0]["trained"]
    assert scores[1]["metrics"]["scene/ap50"] == pytest.approx(scores[0]["metrics"]["scene/ap50"], abs=0.02)
    assert detect([str(config), str(weights), str(images), "--out", str(tmp_path / "out"), "--overlap", "16"]) == 0
    assert train([str(config), "--load-from", str(weights), "--work-dir", str(tmp_path / "more")]) == 0
    capsys.readouterr()
    assert main([str(config), str(weights), "--to", "safetensors"]) == 2
    assert "is the checkpoint itself" in capsys.readouterr().err
    assert main([str(config), str(weights), "--to", "safetensors", "--out", str(tmp_path / "w.pth")]) == 2
    assert "w.pth: must end in .safetensors" in capsys.readouterr().err


@pytest.mark.slow
def test_checkpoint_or_backend_that_does_not_fit_is_refused(
    trained: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, checkpoint, images = trained
    assert main([str(config), str(tmp_path / "none.pth")]) == 2
    assert "none.pth: no such checkpoint" in capsys.readouterr().err
    argv = [str(config), str(checkpoint), str(images), "--out", str(tmp_path / "out"), "--score-thr", "0.1"]
    assert detect([*argv, "--backend", "onnx"]) == 2
    assert "iter_8.pth: --backend onnx needs an exported detector" in capsys.readouterr().err
    assert detect([str(checkpoint), str(config), *argv[2:]]) == 2
    assert "iter_8.pth: not a config (*.py); give CONFIG before CHECKPOINT" in capsys.readouterr().err
    exported = tmp_path / "a.onnx"
    assert main([str(config), str(checkpoint), "--out", str(exported)]) == 0
    other = shutil.copy(config, tmp_path / "other.py")
    assert detect([str(other), str(exported), *argv[2:]]) == 2
    assert f"a.onnx: was exported with config {config.stem}, not other; give {config.stem}" in capsys.readouterr().err
    assert detect([str(config), str(exported), *argv[2:], "--tta"]) == 2
    assert "--tta: is not available for exported detectors" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
