import json
import pickle
from pathlib import Path

import pytest
import torch

from oil_storage.cli.test import main
from oil_storage.cli.train import main as train
from tests.tiny_training import write_config, write_data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return config and checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder, write_data(folder), train_cfg__max_iters=2)
    assert train([str(config), "--work-dir", str(folder / "work")]) == 0
    return str(config), str(folder / "work" / "iter_2.pth")


@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_pictures_and_predictions_of_a_split(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    flags = ["--split", split, "--show-dir", str(tmp_path / "pictures"), "--out", str(tmp_path / "out.pkl")]
    assert main([*trained, "--work-dir", str(tmp_path), *flags]) == 0
    report = json.loads((tmp_path / split / "metrics.json").read_text())
    assert (report["split"], report["checkpoint"], report["precision"]) == (split, trained[1], "float32")
    printed = capsys.readouterr().out
    assert f"AP50      {report['metrics']['coco/bbox_mAP_50']:.3f}" in printed
    predictions = pickle.loads((tmp_path / "out.pkl").read_bytes())
    annotations = Path(predictions[0]["img_path"]).parent.with_suffix(".json").read_text()
    boxes = len(json.loads(annotations)["annotations"])
    assert f"{split} split: {len(predictions)} tiles, {boxes} boxes" in printed
    assert {Path(one["img_path"]).parent.name for one in predictions} == {split}
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {Path(p["img_path"]).stem for p in predictions}


def test_flips_add_to_what_is_detected_and_bfloat16_changes_it_little(trained: tuple[str, str], tmp_path: Path) -> None:
    for name, flags in {"plain": [], "tta": ["--tta"], "amp": ["--amp"]}.items():
        out = ["--work-dir", str(tmp_path / name), "--out", str(tmp_path / f"{name}.pkl"), *flags]
        assert main([*trained, *out]) == 0
    plain, tta, amp = (pickle.loads((tmp_path / f"{name}.pkl").read_bytes()) for name in ("plain", "tta", "amp"))
    for one, other, third in zip(plain, tta, amp, strict=True):
        assert len(other["pred_instances"]["scores"]) >= len(one["pred_instances"]["scores"])
        assert other["pred_instances"]["scores"].max() >= one["pred_instances"]["scores"].max()
        assert other["ori_shape"] == one["ori_shape"]
        assert third["pred_instances"]["bboxes"].dtype == torch.float32
    best = [one["pred_instances"]["scores"].max().item() for one in plain]
    assert [one["pred_instances"]["scores"].max().item() for one in amp] == pytest.approx(best, rel=0.05)
    assert json.loads((tmp_path / "amp/test/metrics.json").read_text())["precision"] == "bfloat16"


def test_bad_input_gets_a_line(trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, checkpoint = trained
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    (tmp_path / "half.pth").write_bytes(Path(checkpoint).read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("no checkpoint")
    for argv, words in {
        (config, "absent.pth"): "absent.pth: no such checkpoint file",
        (config, str(tmp_path / "half.pth")): "half.pth: a truncated checkpoint",
        (config, str(tmp_path / "text.pth")): "text.pth: not a checkpoint",
        (config, str(tmp_path / "other.pth")): "other.pth: checkpoint of another model",
        (config, checkpoint, "--out", "scores.csv"): "must end in .pkl",
        (config, checkpoint, "--cfg-options", "test_evaluator=None"): "needs one test_evaluator",
        (config, checkpoint, "--tta", "--cfg-options", "tta_model=None"): "--tta: the config has no tta_model",
        (
            config,
            checkpoint,
            "--cfg-options",
            "test_dataloader.dataset.overlap=0",
        ): "does not score what test_dataloader",
        (config, checkpoint, "--cfg-options", "model.neck.foo=1"): "--cfg-options model.neck.foo=1: FPN: TypeError: ",
    }.items():
        capsys.readouterr()
        assert main([*argv, "--work-dir", str(tmp_path)]) == 2
        text = capsys.readouterr().err
        assert words in text
        assert "Traceback" not in text
    assert not (tmp_path / "test" / "metrics.json").exists()
