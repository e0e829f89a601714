import signal
import subprocess
import sys
import time
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


@pytest.mark.parametrize(
    "option", [["--scenes", "0"], ["--scenes", "-1"], ["--size", "10"], ["--size", "1000000"], ["--seed", "-5"]]
)
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


def start(out: Path) -> subprocess.Popen[str]:
    """The tool at work on more than it will finish, its first scene written."""
    options = ["--scenes", "500", "--size", "512"]
    tool = subprocess.Popen([sys.executable, TOOL, out, *options], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.parent.rglob("*.jpg")):
        assert tool.poll() is None, tool.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return tool


def workers_of(tool: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{tool.pid}/task/{tool.pid}/children").read_text().split()]


def wait_for_the_end_of(workers: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker goes on"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize(
    ("number", "status", "word"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_a_signal_ends_workers_and_leaves_nothing(tmp_path, number, status, word):
    tool = start(tmp_path / "raw")
    workers = workers_of(tool)
    assert workers
    tool.send_signal(number)
    errors = tool.communicate(timeout=60)[1]
    assert tool.returncode == status, errors
    assert errors.splitlines()[-1] == word
    assert "Traceback" not in errors
    assert not list(tmp_path.iterdir())
    wait_for_the_end_of(workers)


def test_a_killed_run_leaves_no_workers_and_the_next_clears_up(tmp_path):
    tool = start(tmp_path / "raw")
    workers = workers_of(tool)
    assert workers
    tool.kill()
    tool.communicate()
    wait_for_the_end_of(workers)
    assert not (tmp_path / "raw" / "images").exists()
    assert main([str(tmp_path / "raw"), "--scenes", "1", "--size", "256"]) == 0
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["annotations.csv", "images"]
    assert len(list((tmp_path / "raw" / "images").iterdir())) == 1


def test_the_tool_helps_without_heavy_imports():
    # A module set to None in sys.modules cannot be imported.
    script = (
        "import runpy, sys; sys.path.insert(0, 'tools');"
        "sys.modules.update(cv2=None, numpy=None, torch=None); sys.argv = ['tool', '--help'];"
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--scenes" in done.stdout
