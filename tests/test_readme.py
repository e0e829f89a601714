"""README's commands: every one parses, and those of the walk-through run, shortened."""

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

README = Path("README.md")


def commands() -> list[str]:
    """Lines of README's bash blocks without their comments."""
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(), flags=re.S)
    return [
        line.split("  #")[0].split("    #")[0].strip()
        for block in blocks
        for line in block.splitlines()
        if line.strip()
    ]


def test_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = README.read_text()
    assert len(text.splitlines()) < 220
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("http")]
    assert links
    assert [link for link in links if not Path(link.partition("#")[0]).exists()] == []


def test_every_command_names_what_exists() -> None:
    seen = set()
    for command in commands():
        program, *arguments = shlex.split(command)
        seen.add(program)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", Path("Makefile").read_text(), flags=re.M), command
        elif program == "python":
            module = importlib.import_module(f"oil_storage.cli.{Path(arguments[0]).stem}")
            args = module.build_parser().parse_args(arguments[1:])
            if hasattr(args, "config"):
                assert args.config.is_file(), command
        elif program.endswith(".sh"):
            assert Path(arguments[0]).is_file(), command
            subprocess.run(["bash", "-n", program], check=True)
        else:
            assert program == "tensorboard", command
    assert {"make", "python", "tools/dist_train.sh"} <= seen


def test_the_figures_are_those_of_results() -> None:
    from oil_storage.reporting.results import table

    text = README.read_text()
    between = text.split("<!-- results -->\n")[1].split("<!-- /results -->")[0]
    assert between == table(Path("results"))


@pytest.mark.slow
def test_the_walk_through_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, prepared, work = tmp_path / "raw", tmp_path / "prepared", tmp_path / "work"
    monkeypatch.setenv("OIL_STORAGE_DATA", str(prepared))
    short = ["--cfg-options", "train_cfg.max_iters=4", "train_cfg.val_interval=4", "train_dataloader.batch_size=2"]

    def tool(name: str, *arguments: object) -> None:
        main = importlib.import_module(f"oil_storage.cli.{name}").main
        assert main([str(argument) for argument in arguments]) == 0

    tool("make_synthetic", raw, "--scenes", 4, "--size", 640)
    tool("prepare_dataset", raw, prepared)
    tool("train", "configs/oil/ssd_lite0.py", "--work-dir", work, *short)
    tool(
        "test",
        "configs/oil/ssd_lite0.py",
        work / "iter_4.pth",
        "--split",
        "val",
        "--work-dir",
        work,
        "--show-dir",
        work / "pictures",
    )
    assert (work / "val" / "metrics.json").is_file()
    assert any((work / "pictures").iterdir())
