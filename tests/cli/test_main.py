import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest

from oil_storage.cli.main import COMMANDS, main

HEAVY = ("torch", "mmengine", "mmcv", "mmdet", "onnxruntime", "rasterio", "cv2", "numpy")


def test_setup_cfg_declares_the_command() -> None:
    setup = ConfigParser()
    setup.read("setup.cfg", encoding="utf-8")
    name, _, function = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, attribute = function.partition(":")
    assert name == "oil-storage"
    assert getattr(import_module(module), attribute) is main


def test_help_lists_each_command_with_the_docstring_of_its_module(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = capsys.readouterr().out
    for command, tool in COMMANDS.items():
        summary = import_module(f"oil_storage.cli.{tool.partition(':')[0]}").__doc__
        assert summary is not None
        assert f"\n  {command:<11}{summary.splitlines()[0]}\n" in listed


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_show_their_name_and_reject_unknown_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: oil-storage {command} ")
    with pytest.raises(SystemExit, match="2"):
        main([command, "--no-such-option"])
    assert f"oil-storage {command}: error: " in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["no-such-command"], ["--no-such-option"]])
def test_wrong_usage_is_status_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert "oil-storage: error: " in capsys.readouterr().err


def test_commands_run_their_tool_and_return_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synth", str(tmp_path / "a"), "--scenes", "1", "--size", "256"]) == 0
    assert "1 scenes of 256 px" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "missing")]) == 2
    assert f"error: {tmp_path / 'missing'}" in capsys.readouterr().err


def run(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run code, then the command, in a new process; print the modules in HEAVY that were imported."""
    script = (
        f"import sys\n{code}\nfrom oil_storage.cli.main import main\ntry: status = main(sys.argv[1:])\n"
        "except SystemExit as stop: status = stop.code\n"
        f"print([name for name in {HEAVY} if name in sys.modules]); sys.exit(status)"
    )
    return subprocess.run([sys.executable, "-c", script, *argv], capture_output=True, text=True)


@pytest.mark.parametrize("argv", [["--help"], *([command, "--help"] for command in ("detect", "train", "doctor"))])
def test_help_imports_no_heavy_package(argv: list[str]) -> None:
    done = run("", *argv)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "[]"


WITHOUT_TRAINING_STACK = """
class Missing:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "mmengine", "mmcv", "mmdet"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing)
"""


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "configs/oil/ssd_lite0.py"],
        ["test", "configs/oil/ssd_lite0.py", "weights/ssd_lite0_x15.safetensors"],
        ["export", "configs/oil/ssd_lite0.py", "weights/ssd_lite0_x15.safetensors", "--out", "a.onnx"],
        ["browse", "configs/oil/ssd_lite0.py", "--out", "a"],
    ],
)
def test_missing_training_stack_is_one_line_with_the_command(argv: list[str]) -> None:
    done = run(WITHOUT_TRAINING_STACK, *argv)
    assert done.returncode == 2
    assert done.stderr == (
        "error: this needs the training stack (No module named 'mmengine'); run make install in a clone of the "
        "repository\n"
    )


def test_detection_without_the_training_stack_suggests_onnx_weights(tmp_path: Path) -> None:
    code = f"{WITHOUT_TRAINING_STACK}\nimport importlib.util; importlib.util.find_spec = lambda name: None"
    weights = tmp_path / "iter_9.pth"
    weights.touch()
    done = run(code, "detect", "scene.tif", "--weights", str(weights), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert f"{weights}: needs the training stack; run make install in a clone" in done.stderr
    assert ".onnx" in done.stderr
    assert len(done.stderr.splitlines()) == 1
