import argparse
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from oil_storage.checkpoints.accuracy import ChosenThreshold
from oil_storage.checkpoints.checkpoint import Checkpoint, store_accuracy, store_threshold
from oil_storage.errors import UserError

CHOSEN = ChosenThreshold(0.375, 0.8, "abc")


def write(folder: Path, **content: object) -> Path:
    path = folder / "iter_2.pth"
    torch.save({"state_dict": {"weight": torch.arange(3.0)}, "meta": {"iter": 2}, **content}, path)
    return path


def test_threshold_is_stored_in_its_checkpoint(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert Checkpoint.read(path).threshold() is None
    store_threshold(path, CHOSEN)
    checkpoint = Checkpoint.read(path)
    assert checkpoint.threshold() == 0.375
    assert checkpoint.meta.iter == 2
    assert checkpoint.state_dict["weight"].tolist() == [0, 1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["iter_2.pth"]


def test_file_that_contains_the_threshold_is_not_rewritten(tmp_path: Path) -> None:
    path = write(tmp_path)
    store_threshold(path, CHOSEN)
    before = path.stat()
    store_threshold(path, CHOSEN)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    store_threshold(path, ChosenThreshold(0.5, 0.8, "abc"))
    assert Checkpoint.read(path).threshold() == 0.5


def test_test_time_augmentation_has_its_own_threshold(tmp_path: Path) -> None:
    path = write(tmp_path)
    store_threshold(path, CHOSEN)
    assert Checkpoint.read(path).threshold(tta=True) is None
    store_threshold(path, ChosenThreshold(0.5, 0.9, "abc"), tta=True)
    assert [Checkpoint.read(path).threshold(tta) for tta in (False, True)] == [0.375, 0.5]


def test_accuracy_by_resolution_is_stored_next_to_the_threshold(tmp_path: Path) -> None:
    path = write(tmp_path)
    store_threshold(path, CHOSEN)
    store_accuracy(path, {"0.3": 0.9, "3": 0.86})
    meta = Checkpoint.read(path).meta
    assert meta.f1_by_gsd == {"0.3": 0.9, "3": 0.86}
    assert meta.score_threshold == CHOSEN
    store_accuracy(path, {"fine": 0.9})
    with pytest.raises(UserError, match=r"iter_2\.pth: meta.*f1_by_gsd"):
        Checkpoint.read(path)


def test_checkpoint_is_unchanged_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"cannot store the score threshold 0.375 .*No space left"):
        store_threshold(path, CHOSEN)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("key", ["model", "teacher", "model_state_dict"])
def test_weights_in_files_of_other_programs_are_read(tmp_path: Path, key: str) -> None:
    options = argparse.Namespace(lr=0.1, data_path="/data")
    torch.save({key: {"weight": torch.ones(2)}, "args": options, "epoch": 3}, tmp_path / "a.pth")
    assert Checkpoint.read(tmp_path / "a.pth").state_dict["weight"].tolist() == [1, 1]


def test_safetensors_of_other_programs_are_read(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.ones(2)}, tmp_path / "a.safetensors", metadata={"format": "pt"})
    checkpoint = Checkpoint.read(tmp_path / "a.safetensors")
    assert checkpoint.state_dict["conv1.weight"].tolist() == [1, 1]
    assert checkpoint.meta.trained is None


def test_bare_state_dict_is_read(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.pth")
    assert Checkpoint.read(tmp_path / "a.pth").state_dict["weight"].tolist() == [1, 1]


TRAINED = {"config": "ssd_lite0", "images": ["0"], "processes": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"state_dict": None}, "state_dict is not a dict of tensors"),
        ({"state_dict": [1]}, "state_dict is not a dict of tensors"),
        ({"state_dict": {"w": 3}}, "state_dict\\['w'\\] is not a dense tensor"),
        ({"state_dict": {3: torch.ones(1)}}, "state_dict is not a dict of tensors"),
        (
            {"state_dict": {"w": torch.tensor([1, float("nan")])}},
            "state_dict\\['w'\\] contains values that are not finite",
        ),
        ({"state_dict": {"w": torch.tensor(float("inf")), "v": torch.ones(1)}}, "state_dict\\['w'\\] contains values"),
        ({"ema_state_dict": {"w": torch.tensor(float("nan"))}}, "ema_state_dict\\['w'\\] contains values"),
        ({"state_dict": {"w": torch.ones(2).to_sparse()}}, "'w'\\] is not a dense tensor"),
        ({"state_dict": {"w": torch.ones(2, dtype=torch.complex64)}}, "'w'\\] is not a dense tensor"),
        ({"state_dict": {"w": torch.ones(1).expand(2**40)}}, "'w'\\] is not a dense tensor"),
        ({"state_dict": {"w": torch.tensor(1e300, dtype=torch.float64)}}, "values that are not finite"),
        ({"meta": None}, "meta is not a dict"),
        ({"meta": [1]}, "meta is not a dict"),
        ({"meta": {"iter": "2"}}, "meta.iter: Input should be a valid integer"),
        ({"meta": {"iter": -1}}, "meta.iter: Input should be greater than or equal to 0"),
        ({"meta": {"seed": [1]}}, "meta.seed: Input should be a valid integer"),
        ({"meta": {"trained": "yes"}}, "meta.trained: Input should be"),
        ({"meta": {"trained": {}}}, "meta.trained.config: Field required"),
        (
            {"meta": {"trained": {**TRAINED, "images": [1]}}},
            r"meta\.trained\.images\[0\]: Input should be a",
        ),
        ({"meta": {"trained": {**TRAINED, "images": None}}}, "meta.trained.images: Input should be a valid"),
        ({"meta": {"trained": {**TRAINED, "processes": 0}}}, "meta.trained.processes: Input should be greater"),
        ({"meta": {"trained": {**TRAINED, "seconds": torch.ones(1)}}}, "meta: Object of type Tensor"),
        ({"meta": {"trained": {**TRAINED, "data": {"name": "x"}}}}, "meta.trained.data.scenes: Field required"),
        ({"meta": {"trained": {**TRAINED, "reading": {"bands": [1]}}}}, "meta.trained.reading.bands"),
        ({"meta": {"trained": {**TRAINED, "reading": {"stretch": [98.0, 2.0]}}}}, "stretch must be two percentiles"),
        ({"meta": {"trained": {**TRAINED, "reading": {"bands": [0, 1, 2]}}}}, "bands must be three numbers"),
        ({"meta": {"score_threshold": 0.5}}, "meta.score_threshold: Input should be"),
        ({"meta": {"score_threshold": {"threshold": 2.0, "f1": 1.0, "data": ""}}}, "threshold.threshold: Input should"),
        ({"meta": {"score_threshold": {"threshold": float("nan"), "f1": 1.0, "data": ""}}}, "threshold: Input should"),
        ({"meta": {"score_threshold_tta": {"threshold": 0.5}}}, "meta.score_threshold_tta.f1: Field required"),
        ({"meta": {"cfg": 3}}, "meta: its config is damaged .*not a dict"),
        ({"meta": {"cfg": "a = ..."}}, "meta: its config is damaged .*TypeError"),
        ({"meta": {"cfg": '{"a": 1'}}, "meta: its config is damaged"),
        ({"meta": {"cfg": {1: 2}}}, "meta: its config is damaged .*not a dict"),
    ],
    ids=str,
)
def test_malformed_checkpoint_is_refused_in_one_line(tmp_path: Path, content: dict[str, object], words: str) -> None:
    path = write(tmp_path, **content)
    with pytest.raises(UserError, match=rf"iter_2\.pth: .*{words}") as refusal:
        Checkpoint.read(path)
    assert len(str(refusal.value).splitlines()) == 1


def test_deeply_nested_content_is_refused_in_one_line(tmp_path: Path) -> None:
    depth = 3000  # torch.save would not write it
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")
        archive.writestr("a/version", "3\n")
    with pytest.raises(UserError, match=r"a\.pth: not a checkpoint .*recursion"):
        Checkpoint.read(tmp_path / "a.pth")
