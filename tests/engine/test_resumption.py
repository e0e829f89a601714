"""A checkpoint is resumed by the training that wrote it, and by no other."""

import shutil
from pathlib import Path

import pytest
import torch

from oil_storage.cli.train import main
from tests.tiny_training import losses, write_config, write_data


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the config and the work dir of a training with a frozen stage that ended after iteration 4 of 8."""
    folder = tmp_path_factory.mktemp("begun")
    config = write_config(folder, write_data(folder), model__backbone__frozen_stages=1)
    argv = [str(config), "--work-dir", str(folder / "work"), "--cfg-options", "train_cfg.max_iters=4"]
    assert main(argv) == 0
    return config, folder / "work"


@pytest.fixture
def resume(begun: tuple[Path, Path], tmp_path: Path) -> list[str]:
    """Return the arguments that resume a copy of that training."""
    shutil.copytree(begun[1], tmp_path / "work")
    return [str(begun[0]), "--work-dir", str(tmp_path / "work"), "--resume"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--from-scratch"], "it froze backbone.conv1, backbone.bn1, backbone.layer1, which would be trained now"),
        (["model.backbone.frozen_stages=2"], "it trained backbone.layer2, which would be frozen now"),
        (["optim_wrapper.optimizer.lr=0.1"], "optim_wrapper: initial_lr was 0.001, would be 0.1"),
        (["optim_wrapper.optimizer.weight_decay=0"], "optim_wrapper: weight_decay was 0.01, would be 0"),
        (["optim_wrapper.optimizer.type=SGD"], "optim_wrapper: "),
        (["+optim_wrapper.paramwise_cfg.bias_lr_mult=2"], "its optimiser has "),
        (["param_scheduler.1.end=20"], "param_scheduler.1: "),
        (["param_scheduler=None"], "optim_wrapper: initial_lr was 0.001, would be None"),
        (["custom_hooks=None"], "it has averaged weights (EMAHook)"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_another_training_is_refused_and_nothing_changes(
    resume: list[str], capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    before = sorted(Path(resume[2]).glob("*.pth"))
    options = flags if flags[0].startswith("--") else ["--cfg-options", *flags]
    assert main([*resume, *options]) == 2
    text = capsys.readouterr().err
    assert f"iter_4.pth: of another training: {words}" in text
    assert "Traceback" not in text
    assert sorted(Path(resume[2]).glob("*.pth")) == before


def test_the_same_training_goes_on_without_its_pointer(resume: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    work = Path(resume[2])
    (work / "last_checkpoint").unlink()
    assert main([*resume, "--cfg-options", "train_cfg.max_iters=5"]) == 0
    assert f"resuming {work / 'iter_4.pth'}" in capsys.readouterr().out
    assert list(losses(work)) == [1, 2, 3, 4, 5]


def test_a_checkpoint_that_does_not_say_what_was_frozen_is_resumed(resume: list[str]) -> None:
    path = Path(resume[2]) / "iter_4.pth"
    checkpoint = torch.load(path, weights_only=False)
    assert checkpoint["meta"].pop("frozen")
    torch.save(checkpoint, path)
    assert main([*resume, "--cfg-options", "train_cfg.max_iters=5"]) == 0
