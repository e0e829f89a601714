"""Without the training stack, all commands but train, test, benchmark and export work."""

import subprocess
import sys
from pathlib import Path

import pytest

from oil_storage.cli.command import TRAINING_STACK
from tests.raw_data import write_raw_data

SCRIPT = f"""
import sys
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec

def find_others(name, *more):
    return None if name.partition(".")[0] in {TRAINING_STACK} else find_spec(name, *more)

PathFinder.find_spec = find_others
from oil_storage.cli.main import main

sys.exit(main(sys.argv[1:]))
"""
"""Script that runs a subcommand where the packages of the training stack cannot be found."""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a subcommand in a process that cannot import the training stack."""
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_commands_work_without_the_training_stack(tmp_path: Path) -> None:
    source, data, found = write_raw_data(tmp_path / "source"), tmp_path / "data", tmp_path / "found"
    truth = data / "scenes" / "val.json"
    for arguments in (
        ["synth", tmp_path / "synthetic", "--scenes", "1", "--size", "256"],
        ["audit", source],
        ["convert", source, tmp_path / "coco", "--to", "coco"],
        ["prepare", source, data, "--tile", "128", "--overlap", "32", "--source-gsd", "1.35"],
        ["browse", data, "--split", "val", "--out", tmp_path / "pictures"],
        ["detect", source / "images", "--source-gsd", "1.35", "--out", found],
        ["evaluate", found, truth, "--out", tmp_path / "first"],
        ["evaluate", found, truth, "--out", tmp_path / "second", "--score-thr", "0.5"],
        ["report", "--compare", tmp_path / "comparison", tmp_path / "first", tmp_path / "second"],
    ):
        done = run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
    assert (tmp_path / "pictures" / "sheet.png").is_file()
    assert list((tmp_path / "comparison").glob("*.html"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "browse"])
def test_training_and_configs_need_the_training_stack_and_say_so(command: str, tmp_path: Path) -> None:
    done = run(command, "configs/oil/ssd_lite0.py")
    assert done.returncode == 2
    assert "this needs the training stack" in done.stderr
    assert "make install" in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 3
