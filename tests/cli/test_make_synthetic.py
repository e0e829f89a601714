import subprocess
import sys
from pathlib import Path

import pytest

from oil_storage.cli.make_synthetic import main

TOOL = Path(__file__).parents[2] / "tools" / "make_synthetic.py"


def test_writes_the_raw_layout_and_says_so(tmp_path, capsys):
    assert main([str(tmp_path / "raw"), "--scenes", "1", "--size", "256", "--seed", "3"]) == 0
    lines = (tmp_path / "raw" / "annotations.csv").read_text().splitlines()
    assert lines[0] == "image_id,class,bounds"
    assert f"{len(lines) - 1} tanks" in capsys.readouterr().out
    assert len(list((tmp_path / "raw" / "images").glob("*.jpg"))) == 1


@pytest.mark.parametrize("option", [["--scenes", "0"], ["--size", "100"], ["--seed", "-5"]])
def test_bad_arguments_give_one_line(tmp_path, capsys, option):
    assert main([str(tmp_path / "raw"), *option]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {option[0]} {option[1]}")
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_occupied_folder_gives_one_line(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert len(error.splitlines()) == 1


def test_the_tool_helps_without_heavy_imports():
    # A module set to None in sys.modules cannot be imported.
    script = (
        "import runpy, sys; sys.modules.update(cv2=None, numpy=None, torch=None); sys.argv = ['tool', '--help'];"
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--scenes" in done.stdout
