from pathlib import Path

import pytest
import torch

from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.checkpoints.serialization import to_safetensors
from oil_storage.errors import UserError


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    weights = {"conv.weight": torch.tensor([1.0, 1 / 3]), "bn.num_batches_tracked": torch.tensor(7)}
    path = tmp_path / "detector.safetensors"
    path.write_bytes(to_safetensors(weights, {"iter": 2}))
    return path


def test_exported_weights_are_read_with_half_precision(exported: Path) -> None:
    checkpoint = Checkpoint.read(exported)
    assert checkpoint.meta.iter == 2
    weight, count = checkpoint.state_dict["conv.weight"], checkpoint.state_dict["bn.num_batches_tracked"]
    assert weight.dtype == torch.float32
    assert weight.tolist() == [1.0, torch.tensor(1 / 3).half().item()]
    assert (count.item(), count.dtype) == (7, torch.int64)


def test_values_beyond_half_precision_are_not_converted(tmp_path: Path) -> None:
    path = tmp_path / "Large.SAFETENSORS"
    path.write_bytes(to_safetensors({"bn.running_var": torch.tensor([1.0, 70_000.0])}, {}))
    assert Checkpoint.read(path).state_dict["bn.running_var"].tolist() == [1, 70_000]


def test_truncated_and_other_files_are_refused(exported: Path) -> None:
    whole = exported.read_bytes()
    for content in (whole[:-3], whole[:40], b"", b"not weights at all"):
        exported.write_bytes(content)
        with pytest.raises(UserError, match=r"detector.safetensors: damaged weights"):
            Checkpoint.read(exported)
