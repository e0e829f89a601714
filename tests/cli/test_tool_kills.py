"""A tool that is killed at any moment and run again writes what an uninterrupted run writes."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

KILLS = 4


@pytest.mark.slow
def test_killed_and_repeated_tools_write_what_uninterrupted_ones_write(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.killed_tools", str(tmp_path), str(KILLS)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills = [json.loads(line) for line in done.stdout.splitlines()]
    assert Counter(kill["tool"] for kill in kills) == dict.fromkeys(
        ("prepare", "convert", "audit", "detect", "export"), KILLS
    )
    for kill in kills:
        place = f"{kill['tool']} at {kill['at']}"
        assert kill["statuses"] == [0, -9, 0], place
        assert kill["whole"], place
        assert kill["had"].items() <= kill["whole"].items(), place
        assert (kill["again"], kill["left"]) == (kill["whole"], []), place
