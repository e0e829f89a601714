"""Bad inputs of all tools: the exit status, a message of one to three lines that names the input, and nothing left."""

import functools
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from oil_storage.annotations import formats
from oil_storage.annotations.source import Source
from oil_storage.files import is_partial
from oil_storage.image_file import read_header
from oil_storage.scene import CLASS_NAME, Scene
from tests.annotations.exports import EXPORTS, SIZE, make_scenes, written
from tests.labelled_scenes import write_image
from tests.tf_records import example, image_features, write_records
from tests.tiny_training import write_config, write_data

MOST_SECONDS = 20.0
"""Maximum CPU time of a refusal, without imports."""
BOX = (11.0, 12.0, 33.0, 37.0)
COCO_BOX = (11, 12, 22, 25)
"""The same box as COCO writes it: corner and size."""
INTERNAL = "run it again with --debug"
"""Remedy of internal errors, which no input may cause."""


def good(folder: Path, name: str) -> Path:
    """Write a data set of one image and one box in a format; return its annotation file."""
    source = folder / "source"
    if name in formats.WRITABLE or name == "table":  # without a georeference
        image = folder / "in" / "a.png"
        image.parent.mkdir(parents=True)
        size = SIZE if name == "table" else (64, 48)
        write_image(image, *size)
        scene = Scene("a", image, *size, np.array([BOX], np.float32), None)
    elif name == "tfrecord":
        image = folder / "in" / "a.png"
        image.parent.mkdir(parents=True)
        write_image(image, 64, 48)
        record = image_features(image.read_bytes(), "a.png", (64, 48), [BOX], CLASS_NAME)
        source.mkdir()
        write_records(source / "train.record", [example(record)])
        return source / "train.record"
    else:
        scene = make_scenes(folder / "in")[0]
        scene = replace(scene, boxes=np.array([BOX], np.float32))
    others = dict(EXPORTS.values())
    write = written(name) if name in formats.WRITABLE else others[name]
    write([scene], source)
    return Path(formats._module(name).annotation_files(Source(source))[0])


def png(width: int, height: int) -> bytes:
    """Return a PNG file whose header states a size and that has no more than a few pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    )


def tiff(width: int, height: int) -> bytes:
    """Return a TIFF file of 222 bytes whose header states a size."""
    entries = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, 1),
    ]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (b"II*\0" + struct.pack("<I", 8) + table + b"\0" * 4).ljust(222, b"\0")


def replaced_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replaced_by_link(file: Path, target: str) -> None:
    file.unlink()
    file.symlink_to(target)


CHANGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3]),
    "noise": lambda file: file.write_bytes(bytes(range(256)) * 4),
    "utf-16": lambda file: file.write_bytes(file.read_bytes().decode("latin-1").encode("utf-16")),
    "not utf-8": lambda file: file.write_bytes(file.read_bytes() + b"\xff\xfe\xfa"),
    "nul": lambda file: file.write_bytes(b"\0" + file.read_bytes()),
    "html": lambda file: file.write_bytes(b"<!DOCTYPE html><html><body>404</body></html>"),
    "folder": replaced_by_folder,
    "broken link": lambda file: replaced_by_link(file, "nowhere"),
    "link loop": lambda file: replaced_by_link(file, file.name),
    "nested": lambda file: file.write_bytes(b"[" * 100_000),
    "long line": lambda file: file.write_bytes(file.read_bytes() + b"x" * 1_000_000),
    "twice": lambda file: file.write_bytes(file.read_bytes() * 2),
}
"""Damages of an annotation file."""
NUMBERS = ("nan", "inf", "-1e309", "1e38", "abc", "", "0x10", "1,5", "٣٣", "1e-400", "99999999999999999999")
"""Texts in place of a coordinate."""
TEXT_FORMATS = tuple(name for name in formats.FORMATS if name not in ("tfrecord", "vector"))


@dataclass(frozen=True)
class Case:
    """Bad input: the tool, a function that writes the input to a folder and returns the arguments, and the outcome.

    ``statuses`` are the accepted exit statuses; a status of 0 states that a damage may be accepted, because the format
    allows it or the audit leaves out the box.
    """

    tool: str
    arguments: Callable[[Path], list[str]]
    words: str = ""
    statuses: tuple[int, ...] = (2,)


def damaged(folder: Path, name: str, change: Callable[[Path], object]) -> list[str]:
    change(good(folder, name))
    return [str(folder / "source"), str(folder / "out"), "--to", "coco"]


def with_number(folder: Path, name: str, number: str) -> list[str]:
    def change(file: Path) -> None:
        text = file.read_text()
        changed = re.sub(r"(?<![\d.])(11(\.0+)?|0\.34\d*|17\.1875)(?![\d.])", number, text, count=1)
        assert changed != text, text
        file.write_text(changed)

    return damaged(folder, name, change)


def image_as(folder: Path, content: bytes, name: str = "a.png") -> list[str]:
    """Write a data set with a damaged image."""
    file = good(folder, "airbus")
    image = next((folder / "source" / "images").iterdir())
    image.unlink()
    image.with_name(name).write_bytes(content)
    assert file.is_file()
    return [str(folder / "source"), str(folder / "out"), "--to", "coco"]


def arguments(*words: str) -> Callable[[Path], list[str]]:
    """Return a function that replaces ``@`` at the beginning of arguments by the folder."""
    return lambda folder: [word.replace("@", str(folder), 1) if word.startswith("@") else word for word in words]


def write(name: str, content: bytes | str, *words: str) -> Callable[[Path], list[str]]:
    """Return a function that writes a file and then does as :func:`arguments`."""

    def made(folder: Path) -> list[str]:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return arguments(*words)(folder)

    return made


CONFIG = "configs/oil/ssd_lite0.py"
WEIGHTS = "weights/ssd_lite0_multires.safetensors"
CASES: dict[str, Case] = {
    **{
        f"convert {name}: {change}": Case("convert_dataset", functools.partial(damaged, name=name, change=function))
        for name in formats.FORMATS
        for change, function in CHANGES.items()
    },
    **{
        f"convert {name}: {number!r}": Case(
            "convert_dataset", functools.partial(with_number, name=name, number=number), statuses=(0, 2)
        )
        for name in TEXT_FORMATS
        for number in NUMBERS
    },
    **{
        f"convert image: {kind}": Case("convert_dataset", functools.partial(image_as, content=content), words)
        for kind, content, words in [
            ("empty", b"", r"a\.png"),
            ("text", b"no image", r"a\.png"),
            ("pdf", b"%PDF-1.7\n" + b"\0" * 99, r"a\.png"),
            ("png bomb", png(100_000, 100_000), r"100000 x 100000 px"),
            ("png of 2^31 px", png(2**31 - 1, 2**31 - 1), r"a\.png"),
            ("tiff bomb", tiff(1_000_000, 1_000_000), r"1000000 x 1000000 px"),
            ("long tiff", tiff(2**31 - 1, 1), r"2147483647 x 1 px"),
            ("flat tiff", tiff(200_000, 200_000), r"200000 x 200000 px in 222 bytes"),
            ("svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", r"a\.png"),
            ("vrt of itself", b'<VRTDataset rasterXSize="9" rasterYSize="9">', r"a\.png"),
        ]
    },
    "convert: no such folder": Case("convert_dataset", arguments("@/none", "@/out", "--to", "coco"), "no such folder"),
    "convert: a file": Case("convert_dataset", write("f", "", "@/f", "@/out", "--to", "coco"), "not a folder"),
    "convert: empty name": Case("convert_dataset", arguments("", "@/out", "--to", "coco"), "name is empty"),
    "convert: empty out": Case("convert_dataset", arguments("@", "", "--to", "coco"), "name is empty"),
    "convert: no format": Case("convert_dataset", arguments("@", "@/out", "--to", "kitti"), "invalid choice"),
    "convert: out in source": Case("convert_dataset", arguments("@", "@/out", "--to", "coco"), "inside the source"),
    "convert: class map": Case(
        "convert_dataset", arguments("@/a", "@/out", "--to", "coco", "--class-map", "tank"), "--class-map"
    ),
    "convert: bands": Case("convert_dataset", arguments("@/a", "@/out", "--to", "coco", "--bands", "0,1"), "--bands"),
    "convert: stretch": Case(
        "convert_dataset", arguments("@/a", "@/out", "--to", "coco", "--stretch", "98,2"), "--stretch"
    ),
    "audit: no such folder": Case("audit_dataset", arguments("@/none"), "no such folder"),
    "audit: fix in source": Case("audit_dataset", arguments("@", "--fix", "@/out"), "source|format"),
    "prepare: no such folder": Case("prepare_dataset", arguments("@/none", "@/out"), "no such folder"),
    "prepare: overlap": Case(
        "prepare_dataset", arguments("@/a", "@/out", "--tile", "64", "--overlap", "64"), "overlap"
    ),
    "prepare: tile": Case("prepare_dataset", arguments("@/a", "@/out", "--tile", "-1"), "tile"),
    "prepare: fold": Case("prepare_dataset", arguments("@/a", "@/out", "--fold", "2"), "--folds"),
    "prepare: no split file": Case(
        "prepare_dataset", arguments("@/a", "@/out", "--split-file", "@/none.json"), r"none\.json|no such folder"
    ),
    "synthetic: scenes": Case("make_synthetic", arguments("@/out", "--scenes", "-1"), "scenes"),
    "synthetic: size": Case("make_synthetic", arguments("@/out", "--size", "10"), "size"),
    "synthetic: empty out": Case("make_synthetic", arguments(""), "name is empty"),
    "evaluate: nothing": Case("evaluate", arguments("@/none.csv", "@/truth", "--out", "@/out"), "none"),
    "evaluate: empty out": Case("evaluate", arguments("@/a", "@/b", "--out", ""), "name is empty"),
    "evaluate: threshold": Case(
        "evaluate", arguments("@/a", "@/b", "--out", "@/out", "--score-thr", "nan"), "score-thr"
    ),
    "evaluate: pickle": Case("evaluate", write("a.pkl", b"\x80", "@/a.pkl", "@", "--out", "@/out"), ""),
    "report: no run": Case("report", arguments("@/none"), "none"),
    "report: nested": Case("report", write("val/metrics.json", "[" * 100_000, "@"), "metrics"),
    "report: not a run": Case("report", write("val/metrics.json", "{}", "@"), "metrics"),
    "train: no config": Case("train", arguments("@/none.py"), "no such config"),
    "train: folder": Case("train", arguments("@"), "no such config"),
    "train: not python": Case("train", write("c.yaml", "a: 1", "@/c.yaml"), "not a config"),
    "train: syntax": Case("train", write("c.py", "model = (", "@/c.py"), "cannot be read"),
    "train: exit": Case("train", write("c.py", "import sys\nsys.exit(0)", "@/c.py"), "SystemExit"),
    "train: raises": Case("train", write("c.py", "1 / 0", "@/c.py"), "ZeroDivisionError"),
    "train: base": Case("train", write("c.py", "_base_ = ['none.py']", "@/c.py"), "cannot be read"),
    "train: empty": Case("train", write("c.py", "", "@/c.py"), "no 'model'"),
    "train: bytes": Case("train", write("c.py", b"\xff\0", "@/c.py"), "cannot be read"),
    "train: work dir": Case("train", arguments(CONFIG, "--work-dir", ""), "name is empty"),
    "train: seed": Case("train", arguments(CONFIG, "--seed", "1.5"), "--seed"),
    "train: option": Case("train", arguments(CONFIG, "--cfg-options", "model"), "KEY=VALUE"),
    "train: misspelt": Case("train", arguments(CONFIG, "--cfg-options", "modle.type=a"), "did you mean 'model'"),
    "train: brackets": Case("train", arguments(CONFIG, "--cfg-options", "load_from=[(1,2]"), "brackets"),
    "train: resume": Case("train", arguments(CONFIG, "--resume", "@/none.pth"), "no such checkpoint"),
    "train: load": Case("train", arguments(CONFIG, "--load-from", "@/none.pth"), "no such checkpoint"),
    "train: two": Case("train", arguments(CONFIG, "--load-from", "@/a", "--resume", "@/b"), "two checkpoints"),
    "test: no checkpoint": Case("test", arguments(CONFIG, "@/none.pth"), "no such checkpoint"),
    "test: split": Case("test", arguments(CONFIG, WEIGHTS, "--split", "train"), "--split"),
    "test: out": Case("test", arguments(CONFIG, WEIGHTS, "--out", "@/a.txt"), r"must be a file that ends in \.pkl"),
    "export: no checkpoint": Case("export", arguments(CONFIG, "@/none.pth"), "no such checkpoint"),
    "export: format": Case("export", arguments(CONFIG, WEIGHTS, "--to", "tflite"), "--to"),
    "browse: number": Case("browse_dataset", arguments(CONFIG, "--number", "0"), "--number"),
    "browse: no config": Case("browse_dataset", arguments("@/none.py"), "no such config"),
    "crossval: folds": Case("crossval", arguments(CONFIG, "--folds", "1"), "--folds"),
    "overfit: no config": Case("overfit", arguments("@/none.py"), "no such config"),
    "benchmark: batch": Case("benchmark", arguments(CONFIG, "--batch", "0"), "--batch"),
    "detect: no scene": Case("detect", arguments(CONFIG, WEIGHTS, "@/none.tif", "--out", "@/out"), "matches no file"),
    "detect: empty name": Case("detect", arguments(CONFIG, WEIGHTS, "", "--out", "@/out"), "name is empty"),
    "detect: empty out": Case("detect", arguments(CONFIG, WEIGHTS, "@", "--out", ""), "name is empty"),
    "detect: no image": Case("detect", write("d/a.txt", "", CONFIG, WEIGHTS, "@/d", "--out", "@/out"), "no image"),
    "detect: empty list": Case("detect", write("l.txt", "\n\n", CONFIG, WEIGHTS, "@/l.txt", "--out", "@/out"), "empty"),
    "detect: bytes in list": Case(
        "detect", write("l.txt", b"\xff\xfe\xfa", CONFIG, WEIGHTS, "@/l.txt", "--out", "@/out"), "not UTF-8"
    ),
    "detect: not an item": Case("detect", write("i.json", "{}", CONFIG, WEIGHTS, "@/i.json", "--out", "@/out"), "STAC"),
    "detect: nested item": Case(
        "detect", write("i.json", "[" * 100_000, CONFIG, WEIGHTS, "@/i.json", "--out", "@/out"), "JSON"
    ),
    "detect: file item": Case(
        "detect",
        write(
            "i.json",
            json.dumps({"type": "Feature", "id": "a", "assets": {"visual": {"href": "ftp://a/b.tif"}}}),
            *(CONFIG, WEIGHTS, "@/i.json", "--out", "@/out"),
        ),
        "not http",
    ),
    "detect: threshold": Case(
        "detect", arguments(CONFIG, WEIGHTS, "@", "--out", "@/out", "--score-thr", "2"), "score-thr"
    ),
    "detect: bbox": Case("detect", arguments(CONFIG, WEIGHTS, "@", "--out", "@/out", "--bbox", "1,2,3"), "--bbox"),
    "detect: batch size": Case(
        "detect", arguments(CONFIG, WEIGHTS, "@", "--out", "@/out", "--batch-size", "0"), "--batch-size"
    ),
    "detect: tile": Case("detect", arguments(CONFIG, WEIGHTS, "@", "--out", "@/out", "--tile", "99999"), "--tile"),
    "detect: no checkpoint": Case(
        "detect", arguments(CONFIG, "@/none.pth", "@", "--out", "@/out"), "no such checkpoint"
    ),
    "detect: out is a file": Case("detect", write("f", "", CONFIG, WEIGHTS, "@", "--out", "@/f"), "is a file"),
}
ACCEPTED = {
    *(
        f"convert {name}: utf-16"
        for name in ("coco", "geojson", "label-studio", "labelme", "supervisely", "voc", "xview")
    ),
    *(f"convert yolo: {change}" for change in ("empty", "twice")),
    "convert dota: twice",
    *(f"convert vector: {change}" for change in ("not utf-8", "long line", "twice")),
}
"""Damages that a format allows: another encoding of the same text, a list of objects without end, or bytes behind the
number of features that a binary file states."""
WITHOUT_BOX = {"convert yolo: empty"}
"""Allowed damages that remove the box."""


def refuse(case: Case, folder: Path, capsys: pytest.CaptureFixture[str]) -> int:
    """Run a tool on a bad input, and check its message; return its exit status."""
    main = import_module(f"oil_storage.cli.{case.tool}").main
    given = case.arguments(folder)
    before = {path for path in folder.rglob("*") if not path.is_symlink()}
    capsys.readouterr()
    start = time.process_time()
    try:
        status = main(given)
    except SystemExit as stop:  # of argparse
        status = int(str(stop.code))
    seconds = time.process_time() - start
    output = capsys.readouterr().err
    assert "Traceback" not in output
    assert INTERNAL not in output
    if status:
        message = output.rpartition("error: ")[2].strip()
        assert 1 <= len(message.splitlines()) <= (10 if "no known annotation format" in message else 3), message
        assert len(message) < 2500, message
        assert re.search(case.words, message), message
        left = {path for path in folder.rglob("*") if not path.is_symlink()} - before
        assert not left, left
    assert not any(map(is_partial, folder.rglob("*")))
    assert seconds < MOST_SECONDS
    return status


def converted(folder: Path) -> list[list[float]]:
    """Return the boxes that a conversion wrote."""
    content = json.loads(next((folder / "out").rglob("*.json")).read_text())
    return [one["bbox"] for one in content["annotations"]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail if a tool writes to the current folder."""
    before = set(os.listdir())
    yield
    assert set(os.listdir()) == before


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused_by_one_message(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    status = refuse(case, tmp_path, capsys)
    assert status in (case.statuses if name not in ACCEPTED else (0, 2)), status
    if status == 0 and name in ACCEPTED:
        boxes = converted(tmp_path)
        assert bool(boxes) == (name not in WITHOUT_BOX)
        assert all(box == pytest.approx(COCO_BOX, abs=0.1) for box in boxes), boxes


@pytest.mark.parametrize("name", formats.FORMATS)
def test_good_input_is_accepted(name: str, tmp_path: Path) -> None:
    main = import_module("oil_storage.cli.convert_dataset").main
    assert main(damaged(tmp_path, name, lambda file: None)) == 0
    assert converted(tmp_path) == [pytest.approx(COCO_BOX, abs=0.1)]


def test_large_sizes_that_a_file_can_have_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(16_000, 16_000))
    assert read_header(tmp_path / "a.tif").width == 16_000


VALUES = {
    "optim_wrapper.clip_grad.max_norm": (-1, "max_norm"),
    "optim_wrapper.optimizer.lr": (-1.0, "lr"),
    "optim_wrapper.optimizer.type": ("Adamm", "type"),
    "optim_wrapper.accumulative_counts": (0, "accumulative_counts"),
    "train_dataloader.num_workers": (1.5, "num_workers"),
    "train_dataloader.batch_size": (100_000, "batch_size"),
    "val_dataloader.batch_size": (0, "batch_size"),
    "train_dataloader.dataset.split": ("trian", "split"),
    "val_dataloader.dataset.tile": (65, "65"),
    "train_dataloader.dataset.data_root": ("nowhere", "nowhere"),
    "default_hooks.checkpoint.save_best": ("coco/nope", "save_best"),
    "default_hooks.logger.interval": (0, "interval"),
    "auto_scale_lr": ({"enable": True, "base_batch_size": 0}, "base_batch_size"),
    "log_level": ("FOO", "log_level"),
    "randomness.seed": (-1, "seed"),
    "train_cfg.max_iters": (0, "max_iters"),
    "train_cfg.val_interval": (0, "val_interval"),
    "model.type": ("RetinaNett", "model cannot be built"),
    "model.bbox_head.anchor_generator.strides": ([0], "strides"),
    "model.backbone.depth": (17, "model cannot be built"),
    "model.backbone.out_indices": ((0, 9), "model cannot be built"),
    "model.bbox_head.loss_cls.type": ("Focal", "model cannot be built"),
}
"""Values of a config that mmengine would report late, by an internal error, or not at all, and words of our message."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.mark.slow
@pytest.mark.parametrize("key", VALUES)
def test_bad_value_of_a_config_is_refused_before_anything_is_made(
    key: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value, words = VALUES[key]
    config = write_config(tmp_path, data, **{key.replace(".", "__"): value})
    case = Case("train", arguments(str(config), "--work-dir", "@/work", "--device", "cpu"), words)
    assert refuse(case, tmp_path, capsys) == 2
