from pathlib import Path

import pytest
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from oil_storage.engine.failures import plain_errors
from oil_storage.errors import UserError


class Failing:
    """A data set whose samples raise."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise self.error


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (UserError("data: no tiles;\nrun: prepare"), UserError, "data: no tiles;\nrun: prepare"),
        (FileNotFoundError(2, "No such file", "a/b.png"), UserError, "a/b.png: no such file; prepare the data again"),
        (FileNotFoundError(2, "No such file", "work/a.pth"), UserError, "work/a.pth: no such file"),
        (AssertionError("failed to load image: a/b.png"), UserError, "a/b.png: not an image"),
        (ValueError("boxes: 3"), (ValueError, RuntimeError), "boxes: 3"),
    ],
)
def test_the_users_words_come_out_of_a_worker(workers: int, error: Exception, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as caught, plain_errors():
        next(iter(DataLoader(Failing(error), num_workers=workers)))
    assert str(caught.value).startswith(text)
    assert "Traceback" not in str(caught.value)


def build(**changes: object) -> None:
    """Build an optimiser as a config would, under an override that means nothing beside ``changes``."""
    options = ["a.b=1", *(f"optim_wrapper.optimizer.{key}={value}" for key, value in changes.items())]
    with plain_errors(Path("a.py"), options):
        OPTIMIZERS.build({"type": "SGD", "lr": 0.1, "params": nn.Linear(1, 1).parameters(), **changes})


def test_what_cannot_be_built_is_blamed_on_the_option_or_the_config() -> None:
    build(momentum=0.9)
    for changes, words in {
        ("lrr", 1): "--cfg-options optim_wrapper.optimizer.lrr=1: SGD: TypeError: SGD.__init__() got an unexpected",
        ("type", "SGDD"): "--cfg-options optim_wrapper.optimizer.type=SGDD: SGDD: KeyError: SGDD is not in the",
        (
            "lr",
            -1,
        ): "a.py --cfg-options a.b=1 optim_wrapper.optimizer.lr=-1: SGD: ValueError: Invalid learning rate: -1",
    }.items():
        with pytest.raises(UserError) as caught:
            build(**dict([changes]))
        assert str(caught.value).startswith(words)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "blamed"),
    [
        (["a.b=1", "train.batch_size=0"], "train.batch_size=0"),
        (["train.batch_size=0", "val.batch_size=4"], "train.batch_size=0"),
        (["val.batch_size=4", "train.batch_size=0"], "train.batch_size=0"),
    ],
)
def test_an_option_is_blamed_by_its_name_and_then_by_its_value(options: list[str], blamed: str) -> None:
    with pytest.raises(UserError) as caught, plain_errors("a.py", options):
        Runner.build_dataloader({"dataset": Failing(ValueError()), "batch_size": 0, "sampler": None})
    assert str(caught.value).startswith(f"--cfg-options {blamed}: ValueError: batch_size should be a positive")


def test_a_fault_of_ours_is_not_blamed_on_the_config() -> None:
    with pytest.raises(KeyError), plain_errors(Path("a.py"), ["model.x=1"]):
        {}["x"]


def test_runners_own_arguments_are_part_of_the_config(tmp_path: Path) -> None:
    cfg = {"model": {"type": "Nothing"}, "work_dir": str(tmp_path), "randomness": {"sed": 1}}
    with (
        pytest.raises(UserError, match=r"^a\.py: TypeError: .*set_randomness\(\) got an unexpected"),
        plain_errors("a.py"),
    ):
        Runner.from_cfg(cfg)
