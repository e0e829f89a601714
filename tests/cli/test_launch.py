import os
import subprocess
from pathlib import Path

import pytest

from oil_storage.cli.launch import main, torchrun_arguments

VARIABLES = ("NNODES", "NODE_RANK", "MASTER_ADDR", "PORT")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["--standalone", "--nproc_per_node=2"]),
        (
            {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "node0", "PORT": "4000"},
            ["--nnodes=2", "--node_rank=1", "--master_addr=node0", "--master_port=4000", "--nproc_per_node=2"],
        ),
        (
            {"PORT": "4000"},
            ["--nnodes=1", "--node_rank=0", "--master_addr=127.0.0.1", "--master_port=4000", "--nproc_per_node=2"],
        ),
    ],
)
def test_environment_variables_become_torchrun_flags(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: list[str]
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert torchrun_arguments(2) == expected


@pytest.mark.parametrize("processes", ["0", "-1", "two", "1.5"])
def test_invalid_number_of_processes_is_refused(processes: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([processes, "tools/train.py", "configs/a.py"])
    assert f"argument GPUS: {processes!r}: must be an integer of at least 1" in capsys.readouterr().err


@pytest.mark.parametrize("tool", ["dist_train.sh", "dist_test.sh", "slurm_train.sh"])
def test_too_few_arguments_show_the_usage(tool: str) -> None:
    done = subprocess.run([f"tools/{tool}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: tools/{tool} ")


def test_slurm_starts_the_tool_with_the_first_node_as_master(tmp_path: Path) -> None:
    stubs = {
        "srun": 'echo "$@" | head -n 1; while [ "$1" != bash ]; do shift; done; exec "$@"',
        "scontrol": "echo node7; echo node8",
        "python": 'echo "$MASTER_ADDR $MASTER_PORT $*"',
    }
    for name, body in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "GPUS": "4",
        "SLURM_JOB_ID": "45",
        "SLURM_NODELIST": "node[7-8]",
    }
    command = ["tools/slurm_train.sh", "gpu", "tanks", "configs/a.py", "--amp", "--cfg-options", 'a="[1, 2]"']
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    flags, started = done.stdout.splitlines()[0], done.stdout.splitlines()[-1]
    assert "--partition=gpu --job-name=tanks --gres=gpu:4 --ntasks=4 --ntasks-per-node=4" in flags
    assert started == 'node7 20045 -u tools/train.py configs/a.py --amp --cfg-options a="[1, 2]" --launcher slurm'
