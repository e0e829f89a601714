import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from oil_storage.cli.train import main
from oil_storage.drawing import LINE, MAGNIFIED
from oil_storage.manifest import Choices
from oil_storage.preparation.prepare import prepare
from tests.tiny_training import WITH_WORKERS, losses, same_training, write_config


@pytest.mark.slow
def test_same_seed_gives_the_same_training(data: Path, whole: Path, tmp_path: Path) -> None:
    assert main([str(write_config(tmp_path, data)), "--work-dir", str(tmp_path / "same")]) == 0
    assert same_training(tmp_path / "same", whole)
    assert list(losses(whole)) == list(range(1, 9))


@pytest.mark.slow
def test_another_seed_gives_a_different_training(data: Path, whole: Path, tmp_path: Path) -> None:
    assert main([str(write_config(tmp_path, data)), "--work-dir", str(tmp_path / "other"), "--seed", "1"]) == 0
    assert losses(tmp_path / "other") != losses(whole)


@pytest.mark.slow
def test_diverging_training_ends_without_a_checkpoint(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, data, optim_wrapper__optimizer__lr=1e30)
    assert main([str(config), "--work-dir", str(tmp_path / "work")]) == 2
    message = capsys.readouterr().err
    assert re.search(r"work: loss is (nan|inf) in iteration \d at learning rate (.*\n){1,2}.*reduce optim", message)
    assert not list((tmp_path / "work").glob("*.pth"))


def test_event_file_contains_losses_learning_rate_scores_and_pictures(whole: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = whole.glob("*/vis_data")
    events = EventAccumulator(str(folder)).Reload()
    scalars, images = events.Tags()["scalars"], events.Tags()["images"]
    assert {"loss", "loss_cls", "loss_bbox", "lr", "coco/bbox_mAP", "coco/bbox_mAP_50"} <= set(scalars)
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 9))
    assert len(images) == 4
    assert all([picture.step for picture in events.Images(tag)] == [4, 8] for tag in images)
    size = (2 * MAGNIFIED * 64 + 4, LINE + MAGNIFIED * 64)
    assert {(picture.width, picture.height) for tag in images for picture in events.Images(tag)} == {size}


@pytest.mark.slow
def test_amp_trains_in_bfloat16(data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oil_storage.engine.bf16.has_bf16", lambda device: True)
    assert main([str(write_config(tmp_path, data)), "--work-dir", str(tmp_path / "work"), "--amp"]) == 0
    first, second = losses(tmp_path / "work"), losses(whole)
    assert first != second
    assert first == pytest.approx(second, rel=0.05)


def test_finished_training_cannot_be_resumed(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole, tmp_path / "work")
    before = losses(tmp_path / "work")
    assert main([str(write_config(tmp_path, data)), "--work-dir", str(tmp_path / "work"), "--resume"]) == 0
    assert "training is already complete (8 iterations)" in capsys.readouterr().err
    assert losses(tmp_path / "work") == before


@pytest.mark.slow
def test_resume_without_a_checkpoint_starts_from_the_beginning(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, data, train_cfg__max_iters=1)
    no_pictures = ["--cfg-options", "default_hooks.pictures=None"]
    assert main([str(config), "--work-dir", str(tmp_path / "work"), "--resume", *no_pictures]) == 0
    assert not list(tmp_path.rglob("vis_image/*"))
    assert "no checkpoint to resume" in capsys.readouterr().err


def error_of(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """Run the tool with invalid arguments; return the text after ``error:``."""
    capsys.readouterr()
    assert main(argv) == 2
    text = capsys.readouterr().err
    assert "resuming" not in text
    assert "Traceback" not in text
    start = text.index("error: ")
    assert len(text[start:].strip().splitlines()) <= 3
    return text[start:].removeprefix("error: ").strip()


def test_bad_input_is_reported_in_one_line(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(write_config(tmp_path, data))
    work = ["--work-dir", str(tmp_path / "work")]
    assert "did you mean 'ssd_r101.py'?" in error_of(capsys, ["configs/oil/ssd_r110.py"])
    assert "no 'model'; use a config" in error_of(capsys, ["configs/_base_/default_runtime.py"])
    (tmp_path / "typo.py").write_text("model = dict(\ntype='SSD'\n")
    assert "cannot be read (SyntaxError: '(' was never closed" in error_of(capsys, [str(tmp_path / "typo.py")])
    (tmp_path / "base.py").write_text("_base_ = ['absent.py']\n")
    assert "absent.py" in error_of(capsys, [str(tmp_path / "base.py")])
    for option, words in {
        "optim_wraper.optimizer.lr=1": "unknown key 'optim_wraper'; did you mean 'optim_wrapper'?",
        "train_cfg.max_iters=0": "train_cfg.max_iters=0: must be an integer of at least 1",
        "train_cfg.maxiters=3": "unknown key 'maxiters' in train_cfg; did you mean 'max_iters'?",
        "+model.bbox_head.foo=1": "unexpected keyword argument 'foo'",
        "model.type=RetinaNeet": "RetinaNeet is not in the ",
    }.items():
        # mmengine identifies runs by the config's name and the second
        assert words in error_of(capsys, [str(write_config(tmp_path, data)), *work, "--cfg-options", option])
    if not torch.cuda.is_available():
        assert "--device cuda: " in error_of(capsys, [config, *work, "--device", "cuda"])
    assert "absent.pth: no such checkpoint file" in error_of(capsys, [config, *work, "--resume", "absent.pth"])
    assert "RANK is not set; start the tool with" in error_of(capsys, [config, *work, "--launcher", "pytorch"])
    (best,) = whole.glob("best_*.pth")
    assert "resume from iter_*.pth" in error_of(capsys, [config, *work, "--resume", str(best)])
    half = tmp_path / "half.pth"
    half.write_bytes(best.read_bytes()[:10_000])
    assert "half.pth: truncated checkpoint" in error_of(capsys, [config, *work, "--load-from", str(half)])
    assert "two checkpoints" in error_of(capsys, [config, *work, "--load-from", str(half), "--resume", str(half)])


@pytest.mark.parametrize("seed", ["-1", "99999999999", "one"])
def test_seed_out_of_range_is_refused(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["a.py", "--seed", seed])
    assert f"argument --seed: {seed!r}: must be an integer from 0 to 2147483647" in capsys.readouterr().err


def test_missing_data_message_names_the_prepare_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path, tmp_path / "nowhere")
    assert "tools/prepare_dataset.py SOURCE" in error_of(capsys, [str(config), "--work-dir", str(tmp_path / "work")])


def test_missing_data_is_reported_before_a_checkpoint_is_downloaded(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {f"{loader}_dataloader__dataset__tile": 128 for loader in ("train", "val")}
    config = str(write_config(tmp_path, data, **changes))
    monkeypatch.chdir(tmp_path)
    assert "no tiles of 128 px" in error_of(capsys, [config, "--load-from", "http://127.0.0.1:9/absent.pth"])
    assert "no tiles of 128 px" in error_of(capsys, [config, "--load-from", "mmdet://no_such_model"])
    assert {path.name for path in tmp_path.iterdir()} == {Path(config).name}


@pytest.mark.slow
def test_weights_trained_on_val_scenes_are_refused(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--load-from", str(whole / "iter_8.pth"), "--work-dir", str(tmp_path / "work")]
    options = ["--cfg-options", "train_cfg.max_iters=1", "train_cfg.val_interval=1"]
    # the same scenes in another split: a train scene becomes a val scene
    other = prepare_otherwise(data, tmp_path / "other")
    message = error_of(capsys, [str(write_config(tmp_path, other)), *start, *options])
    assert "iter_8.pth: was trained on 1 of 1 val scenes of" in message
    # what they were trained on goes on into what is made of them
    assert main([str(write_config(tmp_path, data)), *start, *options, "train_dataloader.dataset.split=val"]) == 0
    trained, started = (
        torch.load(path, weights_only=False)["meta"]["trained"]["images"]
        for path in (whole / "iter_8.pth", tmp_path / "work" / "iter_1.pth")
    )
    assert set(trained) < set(started)


def prepare_otherwise(data: Path, out: Path) -> Path:
    """Prepare the scenes of ``data`` in ``out``, with a former train scene as val scene."""
    split = json.loads((data / "manifest.json").read_text())["split"]
    moved = {"train": [*split["train"][1:], *split["val"]], "val": split["train"][:1], "test": split["test"]}
    path = out.with_suffix(".json")
    path.write_text(json.dumps(moved))
    prepare(data.parent / "raw", out, tile=64, overlap=16, choices=Choices(split_file=path))
    return out


@pytest.mark.slow
def test_training_log_is_readable(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(
        tmp_path,
        data,
        train_cfg__max_iters=10,
        train_cfg__val_interval=10,
        val_dataloader__batch_size=1,
        model__backbone__frozen_stages=1,
        optim_wrapper__optimizer__weight_decay=0.01,
        optim_wrapper__paramwise_cfg={"norm_decay_mult": 0.0, "bypass_duplicate": True},
    )
    runtime = Config.fromfile("configs/_base_/default_runtime.py", import_custom_modules=False)
    interval = f"default_hooks.logger.interval={runtime.default_hooks.logger.interval}"
    assert main([str(config), "--work-dir", str(tmp_path / "work"), "--cfg-options", interval]) == 0
    printed = capsys.readouterr().err
    written = next((tmp_path / "work").glob("*/*.log")).read_text()
    for section in ("System environment:", "Config:", "Hooks will be executed"):  # kept in the log file for debugging
        assert section in written
        assert section not in printed
    assert len(printed[: printed.index("Iter(train)")].splitlines()) <= 25
    lines = [*printed.splitlines(), *written.splitlines()]
    assert sum("Iter(train)" in line and "loss: " in line for line in lines) >= 1
    assert not [line for line in lines if "paramwise_options" in line or "skipped since" in line]
    assert runtime.default_hooks.logger.interval <= 10


@pytest.mark.slow
def test_missing_or_broken_image_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")

    def training_error() -> str:
        config = write_config(tmp_path, copy, **WITH_WORKERS)
        return error_of(capsys, [str(config), "--work-dir", str(tmp_path / "work")])

    images = sorted((copy / "tiles" / "64_16" / "train").iterdir())
    for image in images:
        image.write_bytes(b"no picture")
    assert f"({len(images)} of {len(images)} images)" in training_error()
    for image in images:
        image.write_bytes(b"no picture but for its end\xff\xd9")
    assert "failed to load image: " in training_error()
    images[0].unlink()
    assert images[0].name in training_error()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.slow
def test_split_without_boxes_is_refused_before_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    path = copy / "tiles" / "64_16" / f"{split}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    argv = [str(write_config(tmp_path, copy)), "--work-dir", str(tmp_path / "work")]
    assert f"{split}.json: no boxes of class oil-storage-tank" in error_of(capsys, argv)


def test_tools_do_not_import_torch_before_they_run() -> None:
    code = "import sys; from oil_storage.cli import launch, test, train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
