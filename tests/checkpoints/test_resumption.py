"""Resumption by the same training, and refusal by another one."""

import shutil
from pathlib import Path

import pytest
import torch

from oil_storage.cli.train import main
from oil_storage.preparation.prepare import prepare
from tests.partial_files import left_partial
from tests.tiny_training import losses, write_config, write_data


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return config and work dir of a training run with a frozen stage, stopped after iteration 4 of 8."""
    folder = tmp_path_factory.mktemp("begun")
    config = write_config(folder, write_data(folder), model__backbone__frozen_stages=1)
    assert main([str(config), "--work-dir", str(folder / "work")]) == 0
    for path in (folder / "work").iterdir():
        if path.suffix == ".pth" and path.name != "iter_4.pth":
            path.unlink()
    (folder / "work" / "last_checkpoint").write_text("iter_4.pth")
    return config, folder / "work"


@pytest.fixture
def resume(begun: tuple[Path, Path], tmp_path: Path) -> list[str]:
    """Return the arguments that resume a copy of the training."""
    shutil.copytree(begun[1], tmp_path / "work")
    return [str(begun[0]), "--work-dir", str(tmp_path / "work"), "--resume"]


def refused(resume: list[str], capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """Check that resumption fails and changes nothing; return the error."""
    before = {path: path.read_bytes() for path in Path(resume[2]).rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*resume, *flags]) == 2
    assert {path: path.read_bytes() for path in Path(resume[2]).rglob("*") if path.is_file()} == before
    messages, _, error = capsys.readouterr().err.rpartition("error: ")
    assert "resuming" not in messages
    assert len(error.splitlines()) <= 3
    return error


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--from-scratch"], "model.backbone.frozen_stages: 1 -> -1"),
        (["--seed", "1"], "randomness.seed: 0 -> 1"),
        (["--amp"], "optim_wrapper.type: 'OptimWrapper' -> 'Bf16OptimWrapper'"),
        (["model.backbone.frozen_stages=2"], "model.backbone.frozen_stages: 1 -> 2"),
        (["train_cfg.max_iters=9"], "train_cfg.max_iters: 8 -> 9"),
        (["train_dataloader.dataset.pipeline.3.prob=0.9"], "train_dataloader.dataset.pipeline.3.prob: 0.5 -> "),
        (["optim_wrapper.optimizer.lr=0.1"], "optim_wrapper.optimizer.lr: 0.001 -> 0.1"),
        (["+optim_wrapper.paramwise_cfg.bias_lr_mult=2"], "optim_wrapper.paramwise_cfg: None -> "),
        (["param_scheduler=None"], "param_scheduler: [{"),
        (["val_dataloader.dataset.split=test"], "val_dataloader.dataset.split: 'val' -> 'test'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_checkpoint_of_another_training_is_refused(
    resume: list[str], capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    message = refused(resume, capsys, *(flags if flags[0].startswith("--") else ["--cfg-options", *flags]))
    assert words in message
    assert "iter_4.pth: belongs to another training run: " in message
    assert "--load-from" in message


def test_reprepared_data_with_another_split_are_refused(
    resume: list[str], capsys: pytest.CaptureFixture[str], begun: tuple[Path, Path], tmp_path: Path
) -> None:
    data = begun[1].parent / "prepared"
    moved = data.rename(data.with_name("kept"))
    try:
        prepare(data.parent / "raw", data, tile=64, overlap=16, seed=1)
        message = refused(resume, capsys)
    finally:
        shutil.rmtree(data)
        moved.rename(data)
    assert f"iter_4.pth: belongs to another training run: {data}: data.split_seed: 0 -> 1" in message


@pytest.mark.slow
def test_same_training_resumes_without_last_checkpoint_file(
    resume: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    work = Path(resume[2])
    (work / "last_checkpoint").unlink()
    left_partial(work / "iter_8.pth").write_bytes(b"left by a killed process")
    options = ["+train_dataloader.num_workers=1", "val_dataloader.batch_size=1", "default_hooks.logger.interval=2"]
    assert main([*resume, "--cfg-options", *options]) == 0
    assert f"resuming {work / 'iter_4.pth'}" in capsys.readouterr().err
    assert max(losses(work)) == 8
    assert not list(work.glob(".*.partial*"))


@pytest.mark.slow
def test_training_resumes_with_moved_data(resume: list[str], begun: tuple[Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(begun[1].parent / "prepared", tmp_path / "moved")
    options = [f"{loader}_dataloader.dataset.data_root={moved}" for loader in ("train", "val")]
    assert main([*resume, "--cfg-options", *options]) == 0


def test_other_number_of_processes_is_refused(resume: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(resume[2]) / "iter_4.pth"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["meta"]["trained"]["processes"] = 2
    torch.save(checkpoint, path)
    assert "belongs to another training run: processes: 2 -> 1" in refused(resume, capsys)


@pytest.mark.slow
def test_checkpoint_without_provenance_is_resumed(resume: list[str]) -> None:
    path = Path(resume[2]) / "iter_4.pth"
    checkpoint = torch.load(path, weights_only=False)
    assert checkpoint["meta"].pop("trained")
    torch.save(checkpoint, path)
    assert main(resume) == 0
