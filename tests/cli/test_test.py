import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from oil_storage.cli.test import main
from oil_storage.cli.train import main as train
from oil_storage.evaluation import dense_coco
from oil_storage.evaluation.curves import AveragePrecision
from oil_storage.evaluation.outcomes import TestOutcomes
from oil_storage.manifest import Choices
from oil_storage.preparation.prepare import prepare
from tests.tiny_training import write_config, write_data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the config and the checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_config(folder, write_data(folder), train_cfg__max_iters=2)
    assert train([str(config), "--work-dir", str(folder / "work")]) == 0
    return str(config), str(folder / "work" / "iter_2.pth")


@pytest.mark.parametrize("split", ["val", "test"])
def test_scores_pictures_and_predictions_are_written(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    out = tmp_path / "made" / "out.pkl"
    flags = ["--split", split, "--show-dir", str(tmp_path / "pictures"), "--out", str(out)]
    assert main([*trained, "--work-dir", str(tmp_path), *flags]) == 0
    report = json.loads((tmp_path / split / "metrics.json").read_text())
    assert (report["split"], report["checkpoint"], report["precision"]) == (split, trained[1], "float32")
    assert report["checkpoint_sha256"] == hashlib.sha256(Path(trained[1]).read_bytes()).hexdigest()
    assert (report["trained"]["config"], report["trained"]["iterations"]) == (Path(trained[0]).stem, 2)
    assert report["trained"]["data"] == report["data"]
    assert report["trained"]["seconds"] > 0
    assert report["changes"] == []
    tested = TestOutcomes.load(tmp_path / split / "outcomes.npz")
    for outcomes, key in ((tested.tiles, "coco/bbox_mAP"), (tested.scenes, "scene/ap")):
        ap = AveragePrecision(outcomes)(np.ones(len(outcomes.names), int)).mean()
        assert ap == pytest.approx(report["metrics"][key], abs=1e-6)
    assert (report["trained"]["images_seen"], report["trained"]["scenes_fraction"]) == (4, 1.0)
    printed = capsys.readouterr().out
    assert f"AP50      {report['metrics']['coco/bbox_mAP_50']:.3f}" in printed
    predictions = pickle.loads(out.read_bytes())
    annotations = Path(predictions[0]["img_path"]).parent.with_suffix(".json").read_text()
    boxes = len(json.loads(annotations)["annotations"])
    assert f"{split} split: {len(predictions)} tiles, {boxes} boxes" in printed
    assert {Path(entry["img_path"]).parent.name for entry in predictions} == {split}
    assert {path.stem for path in (tmp_path / "pictures").iterdir()} == {Path(p["img_path"]).stem for p in predictions}


@pytest.mark.slow
def test_threshold_chosen_on_val_is_applied_to_test(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, untouched = trained
    checkpoint = tmp_path / "iter_2.pth"
    shutil.copy(untouched, checkpoint)
    content = torch.load(checkpoint, weights_only=False)
    content["meta"].pop("score_threshold", None)
    torch.save(content, checkpoint)

    def scored(split: str) -> dict[str, object]:
        assert main([config, str(checkpoint), "--work-dir", str(tmp_path / "work"), "--split", split]) == 0
        report = json.loads((tmp_path / "work" / split / "metrics.json").read_text())
        assert report["checkpoint_sha256"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        figures: dict[str, object] = report["scenes"]
        return figures

    assert "f1" not in scored("test")
    assert "no F1 without a score threshold; tools/test.py --split val chooses one" in capsys.readouterr().out
    chosen = scored("val")
    assert torch.load(checkpoint, weights_only=False)["meta"]["score_threshold"]["threshold"] == chosen["threshold"]
    assert scored("test")["threshold"] == chosen["threshold"]
    folder = tmp_path / "work" / "val"
    assert {"report.html", "detections.json", "suspect_labels.csv", "f1.png"} <= {
        path.name for path in folder.iterdir()
    }
    dataset = Config.fromfile(config).val_dataloader.dataset
    tiles = json.loads(Path(dataset.data_root, "tiles", "64_16", "val.json").read_text())
    again = dense_coco.score(tiles, json.loads((folder / "tile_detections.json").read_text()))
    printed_ar = json.loads((folder / "metrics.json").read_text())["metrics"]["coco/bbox_AR"]
    assert again["AR"] == pytest.approx(printed_ar, abs=1e-6)
    # figures are written even if the checkpoint cannot be changed
    content["meta"].pop("score_threshold", None)
    torch.save(content, checkpoint)

    def read_only(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(torch, "save", read_only)
    capsys.readouterr()
    assert "f1" in scored("val")
    assert "cannot store the score threshold" in capsys.readouterr().err


@pytest.mark.slow
def test_tta_adds_detections_and_bfloat16_changes_scores_little(
    trained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oil_storage.engine.bf16.has_bf16", lambda device: True)
    for name, flags in {"plain": [], "tta": ["--tta"], "amp": ["--amp"]}.items():
        out = ["--work-dir", str(tmp_path / name), "--out", str(tmp_path / f"{name}.pkl"), *flags]
        assert main([*trained, *out]) == 0
    plain, tta, amp = (pickle.loads((tmp_path / f"{name}.pkl").read_bytes()) for name in ("plain", "tta", "amp"))
    for entry, other, third in zip(plain, tta, amp, strict=True):
        assert len(other["pred_instances"]["scores"]) >= len(entry["pred_instances"]["scores"])
        assert other["pred_instances"]["scores"].max() >= entry["pred_instances"]["scores"].max()
        assert other["ori_shape"] == entry["ori_shape"]
        assert third["pred_instances"]["bboxes"].dtype == torch.float32
    best = [entry["pred_instances"]["scores"].max().item() for entry in plain]
    assert [entry["pred_instances"]["scores"].max().item() for entry in amp] == pytest.approx(best, rel=0.05)
    assert json.loads((tmp_path / "amp/test/metrics.json").read_text())["precision"] == "bfloat16"


@pytest.mark.slow
def test_amp_falls_back_to_float32_without_bfloat16(
    trained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("oil_storage.engine.bf16.has_bf16", lambda device: False)
    assert main([*trained, "--work-dir", str(tmp_path), "--amp"]) == 0
    assert "this device does not support bfloat16; testing in float32" in capsys.readouterr().err
    assert json.loads((tmp_path / "test/metrics.json").read_text())["precision"] == "float32"


def test_bad_input_is_reported_in_one_line(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained[1]
    (folder := tmp_path / "folder.pkl").mkdir()
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(1)}}, tmp_path / "other.pth")
    (tmp_path / "half.pth").write_bytes(Path(checkpoint).read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("no checkpoint")
    cases = {
        ("absent.pth",): "absent.pth: no such checkpoint file",
        (str(tmp_path / "half.pth"),): "half.pth: truncated checkpoint",
        (str(tmp_path / "text.pth"),): "text.pth: not a checkpoint",
        (str(tmp_path / "other.pth"),): "other.pth: belongs to another model",
        (checkpoint, "--out", "scores.csv"): "must be a file that ends in .pkl",
        (checkpoint, "--out", str(folder)): "folder.pkl: must be a file",
        (checkpoint, "--tta", "--cfg-options", "tta_model=None"): "has no tta_model for --tta",
        (checkpoint, "--cfg-options", "test_dataloader.dataset.overlap=0"): "no tiles of 64 px with 0 px overlap",
        (checkpoint, "--cfg-options", "+model.neck.foo=1"): "unexpected keyword argument 'foo'",
    }
    for number, (argv, words) in enumerate(cases.items()):
        # mmengine identifies runs by the config's name and the second
        config = shutil.copy(trained[0], tmp_path / f"{number}.py")
        capsys.readouterr()
        assert main([str(config), *argv, "--work-dir", str(tmp_path)]) == 2
        text = capsys.readouterr().err
        assert words in text
        assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "change"),
    [
        (["--amp"], "optim_wrapper.type: 'OptimWrapper' -> 'Bf16OptimWrapper'"),
        (["--cfg-options", "model.test_cfg.score_thr=0.5"], "model.test_cfg.score_thr: 0.0 -> 0.5"),
        (
            ["--cfg-options", "test_dataloader.dataset.pipeline.1.scale=(32,32)"],
            "test_dataloader.dataset.pipeline.1.scale.0: 64 -> 32",
        ),
        (
            ["--cfg-options", "+test_dataloader.dataset.indices=3"],
            "test_dataloader.dataset.indices: None -> 3",
        ),
        (["--cfg-options", "+test_evaluator.prefix=coco"], "test_evaluator.prefix: None -> 'coco'"),
        (["--cfg-options", "test_dataloader.batch_size=1", "+model.backbone.init_cfg=None"], None),
    ],
)
def test_settings_that_differ_from_training_are_reported(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], change: str | None
) -> None:
    assert main([*trained, "--split", "val", "--work-dir", str(tmp_path), *flags]) == 0
    changes = json.loads((tmp_path / "val" / "metrics.json").read_text())["changes"]
    assert changes[:1] == ([] if change is None else [change])
    assert capsys.readouterr().err.count("differs from the config of the training: ") == len(changes)


@pytest.mark.slow
def test_scenes_used_in_training_are_refused(
    trained: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path(trained[0]).parent / "prepared"
    split = json.loads((data / "manifest.json").read_text())["split"]
    turned = tmp_path / "split.json"
    turned.write_text(json.dumps({"train": split["test"], "val": split["train"], "test": split["val"]}))
    anew = tmp_path / "anew"
    prepare(data.parent / "raw", anew, tile=64, overlap=16, choices=Choices(split_file=turned))
    options = ["--cfg-options", f"test_dataloader.dataset.data_root={anew}"]
    argv = [*trained, "--work-dir", str(tmp_path / "work"), *options]
    capsys.readouterr()  # drop the progress bar of the preparation
    assert main([*argv, "--split", "val"]) == 2
    message = capsys.readouterr().err
    assert f"was trained on {len(split['train'])} of {len(split['train'])} val scenes" in message
    assert len(message.splitlines()) <= 3
    assert not (tmp_path / "work").exists()
    # other data are allowed and recorded
    assert main([*argv, "--split", "test"]) == 0
    report = json.loads((tmp_path / "work" / "test" / "metrics.json").read_text())
    assert report["data"]["sha256"] != report["trained"]["data"]["sha256"]


@pytest.mark.slow
def test_checkpoint_without_training_metadata_is_scored(trained: tuple[str, str], tmp_path: Path) -> None:
    content = torch.load(trained[1], weights_only=False)
    torch.save({"state_dict": content["state_dict"]}, tmp_path / "public.pth")
    assert main([trained[0], str(tmp_path / "public.pth"), "--work-dir", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "test" / "metrics.json").read_text())
    assert (report["trained"], report["changes"]) == (None, [])
