"""A full disk stops a tool with one message that names the file, and leaves nothing half-written."""

import subprocess
import sys
from pathlib import Path

import pytest

from oil_storage.checkpoints.serialization import check_complete
from oil_storage.files import is_partial
from tests.raw_data import write_raw_data
from tests.tiny_training import write_config, write_data

ON_SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs "$2" || exit 99
shift 2
"$@"
echo "status $?"
find "$0"
if [ -d "$0/work" ]; then cp -r "$0/work" "$0.copy"; fi
"""
"""Script that mounts a small disk, runs a command, lists the files on the disk, and copies a work dir from it. The disk
ends with the script."""


def run_on_small_disk(size: str, disk: Path, *arguments: str | Path) -> tuple[int, str, list[Path]]:
    """Return the status and the messages of a subcommand, and the files that it left on a disk of some size."""
    disk.mkdir()
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("needs user namespaces, to mount a small disk")
    command = [sys.executable, "-m", "oil_storage.cli.main", *map(str, arguments)]
    script = [*namespace, "sh", "-c", ON_SMALL_DISK, str(disk), size, str(disk), *command]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    _, _, end = done.stdout.rpartition("status ")
    status, *files = end.splitlines()
    return int(status), done.stderr, [Path(name) for name in files]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "SOURCE", "OUT", "--tile", "128", "--overlap", "32"],
        ["convert", "SOURCE", "OUT", "--to", "coco"],
        ["audit", "SOURCE", "--fix", "OUT"],
        ["synth", "OUT", "--scenes", "2", "--size", "512"],
        ["detect", "SOURCE/images", "--scale", "1", "--out", "OUT"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_message_names_the_file_and_the_remedy(arguments: list[str], tmp_path: Path) -> None:
    source, disk = write_raw_data(tmp_path / "source", scenes=3), tmp_path / "disk"
    arguments = [one.replace("SOURCE", str(source)).replace("OUT", str(disk / "out")) for one in arguments]
    status, messages, left = run_on_small_disk("60k", disk, *arguments)
    assert status == 2, messages
    assert "Traceback" not in messages
    error = messages[messages.index("error: ") :]
    assert len(error.strip().splitlines()) <= 3
    assert error.startswith(f"error: {disk}/out")
    assert "No space left on device" in error
    assert "free some space, or choose another folder" in error
    assert not any(map(is_partial, left))


@pytest.mark.slow
def test_full_disk_ends_training_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    changes = {
        "train_cfg__max_iters": 40,
        "train_cfg__val_interval": 1,
        "default_hooks__checkpoint__max_keep_ckpts": -1,
    }
    config, disk = write_config(tmp_path, write_data(tmp_path), **changes), tmp_path / "disk"
    status, messages, left = run_on_small_disk("20m", disk, "train", config, "--work-dir", disk / "work")
    assert status == 2, messages
    assert "Traceback" not in messages
    assert "No space left on device" in messages[messages.index("error: ") :]
    kept = sorted((tmp_path / "disk.copy").glob("iter_*.pth"))
    assert kept
    for path in kept:
        check_complete(path)
    assert not any(map(is_partial, left))
