import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oil_storage.cli.make_synthetic import main
from tests.cli.stopped_tools import start_and_wait, stop_by

TOOL = Path(__file__).parents[2] / "tools" / "make_synthetic.py"


def test_synthetic_scenes_have_the_airbus_layout(tmp_path, capsys):
    assert main([str(tmp_path / "raw"), "--scenes", "1", "--size", "256", "--seed", "3"]) == 0
    lines = (tmp_path / "raw" / "annotations.csv").read_text().splitlines()
    assert lines[0] == "image_id,class,bounds"
    assert f"{len(lines) - 1} tanks" in capsys.readouterr().out
    assert len(list((tmp_path / "raw" / "images").glob("*.jpg"))) == 1


@pytest.mark.parametrize(
    ("option", "value", "limits"),
    [
        ("--scenes", 0, "1 to 99999"),
        ("--scenes", 100_000, "1 to 99999"),
        ("--size", 255, "256 to 8192"),
        ("--size", 1_000_000, "256 to 8192"),
        ("--seed", -1, "0 to 4294967295"),
        ("--seed", 2**32, "0 to 4294967295"),
    ],
)
def test_arguments_out_of_range_are_refused_in_one_line(tmp_path, capsys, option, value, limits):
    assert main([str(tmp_path / "raw"), option, str(value)]) == 2
    assert capsys.readouterr().err == f"error: {option} {value}: must be from {limits}\n"
    assert not list(tmp_path.iterdir())


def test_folder_with_other_files_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path) in error
    assert len(error.splitlines()) == 1


def start(out: Path) -> subprocess.Popen[str]:
    """Start the tool with many scenes; return it when the first one is written."""
    return start_and_wait([TOOL, out, "--scenes", "500", "--size", "512"], lambda: any(out.parent.rglob("*.jpg")))


def workers_of(tool: subprocess.Popen[str]) -> list[int]:
    workers = [int(pid) for pid in Path(f"/proc/{tool.pid}/task/{tool.pid}/children").read_text().split()]
    assert workers
    return workers


def wait_for_the_end_of(workers: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline, "a worker is still running"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_workers_and_leaves_no_output(tmp_path, number, status):
    tool = start(tmp_path / "raw")
    workers = workers_of(tool)
    stop_by(tool, number, status)
    assert not list(tmp_path.iterdir())
    wait_for_the_end_of(workers)


@pytest.mark.slow
def test_killed_run_leaves_no_workers_and_the_next_run_cleans_up(tmp_path):
    tool = start(tmp_path / "raw")
    workers = workers_of(tool)
    tool.kill()
    tool.communicate()
    wait_for_the_end_of(workers)
    assert not (tmp_path / "raw" / "images").exists()
    assert main([str(tmp_path / "raw"), "--scenes", "1", "--size", "256"]) == 0
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["annotations.csv", "images"]
    assert len(list((tmp_path / "raw" / "images").iterdir())) == 1


def test_help_imports_no_heavy_packages():
    # A module set to None in sys.modules cannot be imported.
    script = (
        "import runpy, sys; sys.path.insert(0, 'tools');"
        "sys.modules.update(cv2=None, numpy=None, torch=None); sys.argv = ['tool', '--help'];"
        f"runpy.run_path({str(TOOL)!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--scenes" in done.stdout
