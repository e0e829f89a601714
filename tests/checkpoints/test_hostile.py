"""No tool executes code from the pickle or the config text of a checkpoint."""

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from safetensors.torch import save_file

from oil_storage.checkpoints import serialization
from oil_storage.checkpoints.checkpoint import Checkpoint
from oil_storage.cli import detect, export, release, test, train
from oil_storage.errors import UserError
from tests.raw_data import write_raw_data
from tests.tiny_training import write_config, write_data


class Payload:
    """Object that calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a tiny detector: its config, prepared data, a work dir and a scene."""
    folder = tmp_path_factory.mktemp("hostile")
    config = write_config(folder, write_data(folder))
    config.rename(folder / "tiny.py")
    assert train.main([str(folder / "tiny.py"), "--work-dir", str(folder / "work")]) == 0
    assert test.main([*map(str, (folder / "tiny.py", folder / "work" / "iter_4.pth")), "--split", "val"]) == 0
    write_raw_data(folder / "scenes", scenes=1, size=128, tanks=3)
    return folder


Entry = Callable[[Path, Path, Path], int]
"""Function that runs a tool, with arguments folder, checkpoint and output folder."""


def resume_in_work_dir(folder: Path, checkpoint: Path, out: Path) -> int:
    shutil.copy(checkpoint, out / "iter_4.pth")
    return train.main([str(folder / "tiny.py"), "--work-dir", str(out), "--resume"])


def detect_with(*options: str) -> Entry:
    def run(folder: Path, checkpoint: Path, out: Path) -> int:
        arguments = [folder / "tiny.py", checkpoint, folder / "scenes" / "images", "--out", out / "found"]
        return detect.main([*map(str, arguments), "--score-thr", "0.1", "--overlap", "16", *options])

    return run


def init_cfg(folder: Path, checkpoint: Path, out: Path) -> int:
    backbone = {"type": "Pretrained", "checkpoint": str(checkpoint), "prefix": "backbone."}
    config = write_config(out, folder / "prepared", model__backbone__init_cfg=backbone)
    return train.main([str(config), "--work-dir", str(out / "work")])


PICKLES: dict[str, Entry] = {
    "train --load-from": lambda folder, checkpoint, out: train.main(
        [str(folder / "tiny.py"), "--work-dir", str(out), "--load-from", str(checkpoint)]
    ),
    "train --resume PATH": lambda folder, checkpoint, out: train.main(
        [str(folder / "tiny.py"), "--work-dir", str(out), "--resume", str(checkpoint)]
    ),
    "train --resume": resume_in_work_dir,
    "train init_cfg": init_cfg,
    "test": lambda folder, checkpoint, out: test.main(
        [str(folder / "tiny.py"), str(checkpoint), "--split", "val", "--work-dir", str(out)]
    ),
    "test --tta": lambda folder, checkpoint, out: test.main(
        [str(folder / "tiny.py"), str(checkpoint), "--split", "val", "--work-dir", str(out), "--tta"]
    ),
    "detect": detect_with(),
    "detect --tta": detect_with("--tta"),
    "export": lambda folder, checkpoint, out: export.main(
        [str(folder / "tiny.py"), str(checkpoint), "--out", str(out / "a.onnx")]
    ),
    "export --to safetensors": lambda folder, checkpoint, out: export.main(
        [str(folder / "tiny.py"), str(checkpoint), "--to", "safetensors", "--out", str(out / "a.safetensors")]
    ),
    "release": lambda folder, checkpoint, out: release.main(
        [str(folder / "tiny.py"), str(checkpoint), "--root", str(out)]
    ),
}
SAFETENSORS = {name: PICKLES[name] for name in ("train --load-from", "test", "detect")}


def test_table_contains_every_tool_and_option_that_takes_a_checkpoint() -> None:
    names = {path.stem for path in Path("tools").glob("[a-z]*.py")} - {"install"}
    modules = {name: import_module(f"oil_storage.cli.{name}") for name in names}
    assert modules.pop("crossval").training is train, "crossval passes its options to train"
    taking = {
        " ".join([name, *action.option_strings])
        for name, module in modules.items()
        for action in module.build_parser()._actions
        if re.search("checkpoint|CKPT", f"{action.dest} {action.metavar}") or action.dest in ("resume", "load_from")
    }
    assert taking == {"detect", "export", "release", "test", "train --resume", "train --load-from"}
    assert taking <= PICKLES.keys()


def with_payload(folder: Path, kind: str, created: Path) -> tuple[dict[str, Any], str]:
    """Return a checkpoint that would create a file, and the expected reason of refusal."""
    content = torch.load(folder / "work" / "iter_4.pth", weights_only=True)
    match kind:
        case "system":
            return {**content, "more": Payload(os.system, f"touch {created}")}, "system"
        case "getattr":
            inner = Payload(getattr, Payload(getattr, Path(created), "touch"), "__call__")
            return {**content, "meta": {**content["meta"], "note": inner}}, "PosixPath"
        case "eval":
            return {**content, "message_hub": Payload(eval, f"open({str(created)!r}, 'w')")}, "eval"
        case "config text":
            text = f"import pathlib\npathlib.Path({str(created)!r}).touch()\n"
            return {**content, "meta": {**content["meta"], "cfg": text}}, "meta: its config contains code"
        case "call in config text":
            text = f"model = dict(type=open({str(created)!r}, 'w'))\n"
            return {**content, "meta": {**content["meta"], "cfg": text}}, "meta: its config contains code"
    raise AssertionError(kind)


@pytest.mark.parametrize("entry", PICKLES)
@pytest.mark.parametrize("kind", ["system", pytest.param("config text", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_no_tool_executes_a_payload(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str, kind: str
) -> None:
    content, reason = with_payload(folder, kind, tmp_path / "created")
    torch.save(content, tmp_path / "iter_4.pth")
    (tmp_path / "out").mkdir()
    capsys.readouterr()
    status = PICKLES[entry](folder, tmp_path / "iter_4.pth", tmp_path / "out")
    message = capsys.readouterr().err
    assert not (tmp_path / "created").exists()
    assert status == 2
    assert "iter_4.pth: " in message
    assert reason in message
    assert len([line for line in message.splitlines() if " - mmengine - INFO - " not in line]) == 1


@pytest.mark.parametrize("kind", ["getattr", "eval", "call in config text"])
def test_other_payloads_are_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    content, reason = with_payload(folder, kind, tmp_path / "created")
    torch.save(content, tmp_path / "iter_4.pth")
    with pytest.raises(UserError, match=reason):
        Checkpoint.read(tmp_path / "iter_4.pth")
    assert not (tmp_path / "created").exists()


@pytest.mark.slow
@pytest.mark.parametrize("entry", PICKLES)
def test_checkpoint_without_payload_is_loaded(folder: Path, tmp_path: Path, entry: str) -> None:
    shutil.copy(folder / "work" / "iter_4.pth", tmp_path / "iter_4.pth")
    (tmp_path / "out").mkdir()
    assert PICKLES[entry](folder, tmp_path / "iter_4.pth", tmp_path / "out") == 0


@pytest.mark.parametrize(
    "entry", [pytest.param(name, marks=[] if name == "detect" else pytest.mark.slow) for name in SAFETENSORS]
)
def test_no_tool_executes_the_config_text_of_safetensors(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], entry: str
) -> None:
    weights = torch.load(folder / "work" / "iter_4.pth", weights_only=True)["state_dict"]
    text = f"import pathlib\npathlib.Path({str(tmp_path / 'created')!r}).touch()\n"
    (tmp_path / "out").mkdir()
    for cfg, status in ((text, 2), ("a = 1", 0)):
        meta = {"oil_storage": json.dumps({"cfg": cfg})}
        save_file({key: value.contiguous() for key, value in weights.items()}, tmp_path / "a.safetensors", meta)
        capsys.readouterr()
        assert SAFETENSORS[entry](folder, tmp_path / "a.safetensors", tmp_path / "out") == status
        assert not (tmp_path / "created").exists()
        if status:
            assert "a.safetensors: meta: its config contains code" in capsys.readouterr().err


@pytest.mark.slow
def test_onnx_metadata_are_not_executed(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert PICKLES["export"](folder, folder / "work" / "iter_4.pth", tmp_path) == 0
    run = detect_with("--backend", "onnx")
    assert run(folder, tmp_path / "a.onnx", tmp_path / "out") == 0
    graph = onnx.load(tmp_path / "a.onnx")
    metadata = json.loads(graph.metadata_props[0].value)
    rules = metadata["test_cfg"]
    text = f"__import__('pathlib').Path({str(tmp_path / 'created')!r}).touch()"
    for changed in (
        text,
        json.dumps({**metadata, "score_threshold": "high"}),
        json.dumps({**metadata, "size": [-1, 64]}),
        json.dumps({**metadata, "test_cfg": {**rules, "nms": {"type": f"({text}, nms)[1]", "iou_threshold": 0.5}}}),
        json.dumps({**metadata, "test_cfg": {**rules, "nms": {"type": "nms", "iou_threshold": "x"}}}),
        json.dumps({**metadata, "padding": [1.0, float("nan"), 1.0]}),
        json.dumps({**metadata, "test_cfg": {**rules, "score_thr": "a"}}),
    ):
        graph.metadata_props[0].value = changed
        onnx.save(graph, tmp_path / "a.onnx")
        capsys.readouterr()
        assert run(folder, tmp_path / "a.onnx", tmp_path / "out") == 2, changed
        assert not (tmp_path / "created").exists()
        assert "a.onnx: not a detector that tools/export.py wrote" in capsys.readouterr().err


def test_functions_are_not_allowed() -> None:
    names = [
        entry[1] if isinstance(entry, tuple) else f"{entry.__module__}.{entry.__qualname__}"
        for entry in serialization.ALLOWED
    ]
    functions = [entry[0] if isinstance(entry, tuple) else entry for entry in serialization.ALLOWED]
    assert getattr not in functions
    assert "builtins.getattr" in names  # a stand-in that does nothing
    assert functions[names.index("builtins.getattr")](Path, "touch") is None
    assert getattr not in torch.serialization.get_safe_globals(), (
        "reading a checkpoint does not change torch's own list"
    )


def test_checkpoint_of_an_older_version_is_read(folder: Path, tmp_path: Path) -> None:
    from mmengine.logging import HistoryBuffer

    content = torch.load(folder / "work" / "iter_4.pth", weights_only=True)
    losses = HistoryBuffer([3.0, 2.0], [1, 1])
    content["message_hub"]["log_scalars"] = {"train/loss": losses}
    content["meta"]["cfg"] = "model = dict(type='RetinaNet')\n"
    torch.save(content, tmp_path / "old.pth")
    assert b"getattr" in pickle.dumps(losses, protocol=2), "older checkpoints refer to the methods of a history"
    checkpoint = Checkpoint.read(tmp_path / "old.pth")
    assert checkpoint.trained_settings() == {"model": {"type": "RetinaNet"}}
    stored = checkpoint.content["message_hub"]["log_scalars"]["train/loss"]
    assert stored["log_history"].tolist() == [3, 2]
    hub = serialization.restore_message_hub(checkpoint.content["message_hub"], tmp_path)
    assert hub["log_scalars"]["train/loss"].mean() == 2.5


@pytest.mark.parametrize(
    "hub", [None, {}, {"log_scalars": {"a": 1}}, {"log_scalars": {"a": {"log_history": 1}}}], ids=str
)
def test_damaged_log_is_refused(hub: Any) -> None:
    with pytest.raises(UserError, match=r"a\.pth: message_hub is damaged"):
        serialization.restore_message_hub(hub, Path("a.pth"))
