"""Detection in folders with bad scenes, and two runs into one folder."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oil_storage.cli.detect import command as detect
from oil_storage.files import locked
from tests.test_bad_input import png, tiff

GOOD = ("good.png", "=1+1.png", 'line\nbreak"<b>&.png', f"{'x' * 238}.png")


@pytest.mark.slow
def test_each_bad_scene_fails_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes, out = tmp_path / "scenes", tmp_path / "out"
    scenes.mkdir()
    for name in GOOD:
        Image.fromarray(np.full((90, 100, 3), 90, np.uint8)).save(scenes / name)
    bad = {
        "bomb.tif": tiff(1_000_000, 1_000_000),
        "bomb2.png": png(100_000, 100_000),
        "text.jpg": b"text",
        "empty.tif": b"",
        f"{'y' * 250}.png": (scenes / "good.png").read_bytes(),
    }
    for name, content in bad.items():
        (scenes / name).write_bytes(content)
    (scenes / "loop.tif").symlink_to("loop.tif")
    assert detect([str(scenes), "--out", str(out), "--scale", "1"]) == 1
    messages = capsys.readouterr().err
    assert "Traceback" not in messages
    summary = json.loads((out / "summary.json").read_text())
    assert {Path(path).name for path in summary["left_out"]} == {*bad, "loop.tif"}
    assert {scene["scene"] for scene in summary["scenes"]} == {Path(name).stem for name in GOOD}
    for page in out.glob("*.html"):  # escaped in HTML and in scripts
        assert 'break"<b>' not in page.read_text()
    (table,) = (path for path in out.glob("=*.csv"))
    assert next(csv.reader(table.open()))[0] == "scene"


@pytest.mark.slow
def test_second_run_into_a_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.full((90, 100, 3), 90, np.uint8)).save(tmp_path / "good.png")
    argv = [str(tmp_path / "good.png"), "--out", str(tmp_path / "out"), "--scale", "1"]
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"):
        assert detect(argv) == 2
        assert "another process is writing to this folder" in capsys.readouterr().err
        assert not list((tmp_path / "out").iterdir())
    assert detect(argv) == 0
