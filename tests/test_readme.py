"""README and the pages of docs/: links resolve, commands parse and run (shortened), tables equal the results."""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oil_storage.cli.make_synthetic import main as make_synthetic
from oil_storage.cli.report import main as report
from oil_storage.reporting.results import BRIEF, markdown, read

README, RESULTS, BENCHMARK = Path("README.md"), Path("docs/results.md"), Path("docs/benchmark.md")
NAMES = ("install", "quickstart", "data", "training", "evaluation", "detection")
PAGES = [README, *(Path(f"docs/{name}.md") for name in NAMES), Path("configs/README.md")]
"""Pages with commands, in the order in which the commands run. Blocks marked ``sh`` are not run."""
ALL_PAGES = [
    *(README, Path("CONTRIBUTING.md"), Path("configs/README.md")),
    *(page for folder in ("docs", "weights") for page in Path(folder).glob("*.md")),
]
PLACES_OF_RESIZE = {"train": 2, "val": 1, "test": 1}
"""Index of ``Resize`` in each pipeline of tiles_1280_0.py."""


def commands() -> list[str]:
    """Return the lines of the pages' bash blocks without their comments, each once."""
    text = "".join(page.read_text() for page in PAGES)
    blocks = re.findall(r"```bash\n(.*?)```", text, flags=re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line))


def test_links_lead_to_files_and_headings() -> None:
    assert len(ALL_PAGES) > 15
    for page in ALL_PAGES:
        links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if not link.startswith("http")]
        files = [page.parent / link.partition("#")[0] for link in links]
        assert [file for file in files if not file.exists()] == [], page
        anchors = [(page.parent / link.partition("#")[0], link.partition("#")[2]) for link in links if "#" in link]
        for file, anchor in anchors:
            headings = re.findall(r"^#+ (.+)$", (file if file.is_file() else page).read_text(), flags=re.M)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, page


def test_pages_with_bash_blocks_are_run() -> None:
    assert [page for page in ALL_PAGES if "```bash" in page.read_text() and page not in PAGES] == []


def test_commands_name_existing_targets_tools_and_configs() -> None:
    seen = set()
    for command in commands():
        program, *arguments = [word for word in shlex.split(command) if not word.startswith("OIL_STORAGE_DATA=")]
        seen.add(program)
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", Path("Makefile").read_text(), flags=re.M), command
        elif program == "python":
            module = importlib.import_module(f"oil_storage.cli.{Path(arguments[0]).stem}")
            module.build_parser().parse_args(arguments[1:])
            assert all(Path(word).is_file() for word in arguments if word.startswith("configs/")), command
        elif program.endswith(".sh"):
            assert Path(arguments[0]).is_file(), command
            subprocess.run(["bash", "-n", program], check=True)
        else:
            assert program in ("tensorboard", "torchrun"), command
    assert {"make", "python", "tools/dist_train.sh"} <= seen


def table(page: Path) -> str:
    """Return the table of results of a page."""
    return page.read_text().split("<!-- results -->\n")[1].split("<!-- /results -->")[0]


def test_result_tables_equal_the_recorded_results() -> None:
    known = read(Path("results"))
    assert table(RESULTS) == markdown(known)
    assert table(README) == markdown(known, BRIEF)


@pytest.mark.slow
def test_tables_and_plots_of_the_benchmark_equal_the_recorded_results(tmp_path: Path) -> None:
    pages = {"readme": README, "page": RESULTS, "benchmark": BENCHMARK}
    flags = [f"--{name}={shutil.copy(page, tmp_path)}" for name, page in pages.items()]
    shutil.copytree("configs", tmp_path / "configs")
    assert report([*flags, f"--configs={tmp_path / 'configs'}"]) == 0
    assert (tmp_path / "benchmark.md").read_text() == BENCHMARK.read_text()
    for plot in tmp_path.glob("*.svg"):
        assert plot.read_text() == BENCHMARK.with_name(plot.name).read_text()


def test_the_table_of_configs_equals_results() -> None:
    from oil_storage.reporting.config_table import config_table

    between = Path("configs/README.md").read_text().split("<!-- configs -->\n")[1].split("<!-- /configs -->")[0]
    assert between == config_table(Path("configs/oil"), read(Path("results")))


SHORT = {
    "ssd_lite0.py": ["train_cfg.max_iters=4", "train_cfg.val_interval=4", "train_dataloader.batch_size=2"],
    "ssd_r101.py": [
        *("train_cfg.max_iters=2", "train_cfg.val_interval=2", "train_dataloader.batch_size=1"),
        *(f"{split}_dataloader.dataset.pipeline.{step}.scale=(256,256)" for split, step in PLACES_OF_RESIZE.items()),
        "model.test_cfg.nms_pre=100",
    ],
}
"""Options that shorten a training run with these configs to about a minute."""


def shortened(command: str) -> str:
    """Return the command with fewer iterations, smaller images and two processes."""
    for config, options in SHORT.items():
        if re.search(rf"(train\.py|train\.sh|crossval\.py) configs/oil/{config}", command):
            command += f" --cfg-options {shlex.join(options)}"
            command += " --from-scratch" if config == "ssd_r101.py" else ""
    command = command.replace("ssd_r101.py 4 ", "ssd_r101.py 2 ").replace("iter_1000.pth", "iter_4.pth")
    command = (
        command.replace("--folds 5", "--folds 3")
        .replace("--scenes 30", "--scenes 4")
        .replace("tensorboard", "tensorboard --inspect")
        .replace("benchmark.py", "benchmark.py --seconds 0.1")
    )
    return command.replace("configs/oil/ssd_lite0.py --out", "configs/oil/ssd_lite0.py --number 4 --out")


@pytest.mark.slow
def test_documented_commands_run(tmp_path: Path) -> None:
    for name in ("configs", "tools", "weights"):
        (tmp_path / name).symlink_to(Path(name).resolve())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if name != "OIL_STORAGE_DATA"}

    def run(command: str) -> None:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env={**environment, "PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    run("python tools/make_synthetic.py airbus --scenes 4 --size 640")
    ran = [shortened(command) for command in commands() if not command.startswith("make ")]
    assert len(ran) > 10
    for command in ran:
        run(command)
    for code in re.findall(r"```python\n(.*?)```", "".join(page.read_text() for page in PAGES), flags=re.S):
        scene = next((tmp_path / "airbus/images").iterdir())
        run(shlex.join(["python", "-c", code.replace("scene.tif", str(scene))]))
    assert (tmp_path / "work_dirs/ssd_lite0/val/metrics.json").is_file()
    assert any((tmp_path / "work_dirs/ssd_lite0/pictures").iterdir())
    for folder in ("ssd_lite0/val", "evaluated"):
        assert (tmp_path / "work_dirs" / folder / "report.html").is_file()
    assert (tmp_path / "work_dirs/comparison/comparison.html").is_file()
    assert (tmp_path / "work_dirs/found/summary.json").is_file()
    assert (tmp_path / "work_dirs/ssd_r101/iter_2.pth").is_file()


@pytest.mark.slow
def test_row_of_the_result_table_is_reproduced(tmp_path: Path) -> None:
    for name in ("configs", "tools", "results"):
        shutil.copytree(name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    for page in (README, RESULTS, BENCHMARK):
        shutil.copy(page, tmp_path / page)
    (tmp_path / "results/ssd_lite0_x15.json").unlink()  # the benchmark shows only the data of the first run
    log = tmp_path / "results/test_log.csv"
    log.unlink(missing_ok=True)
    assert make_synthetic([str(tmp_path / "synthetic"), "--scenes", "4", "--size", "640"]) == 0
    scenes = sorted(path.stem for path in (tmp_path / "synthetic/images").iterdir())
    split = {"train": scenes[:2], "val": scenes[2:3], "test": scenes[3:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    places = {"OIL_STORAGE_SCENES": "synthetic", "OIL_STORAGE_SPLIT": "split.json", "OIL_STORAGE_DATA": "prepared"}
    for views in ([], ["--tta"]):
        done = subprocess.run(
            ["tools/reproduce.sh", "ssd_lite0", "3", "test", *views, "--cfg-options", *SHORT["ssd_lite0.py"]],
            cwd=tmp_path,
            env={**os.environ, **places, "PATH": path},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    runs = [run for run in read(tmp_path / "results")["ssd_lite0"].runs if run.data.name == "synthetic"]
    expected = [(3, "test", 4, tta) for tta in (False, True)]
    assert [(run.seed, run.split, run.iterations, run.tta) for run in runs] == expected
    for row in ("| `ssd_lite0` | ImageNet", "| `ssd_lite0`, two views | ImageNet"):
        assert f"{row} | synthetic | test | 3 |" in (tmp_path / RESULTS).read_text()
    assert len(log.read_text().splitlines()) == 3
    options = ["--cfg-options", *SHORT["ssd_lite0.py"]]
    done = subprocess.run(
        ["tools/reproduce.sh", "faster_rcnn_lite0_x15", "1", "val", *options],
        cwd=tmp_path,
        env={**os.environ, **places, "PATH": path, "OIL_STORAGE_FRACTION": "0.5"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    (run,) = read(tmp_path / "results")["faster_rcnn_lite0_x15"].runs
    assert (run.scenes_fraction, run.images_seen, len(run.learning_curve)) == (0.5, 8, 1)
    assert "| `faster_rcnn_lite0_x15` | 50% | 1 |" in (tmp_path / BENCHMARK).read_text()


@pytest.mark.slow
def test_demo_runs(tmp_path: Path) -> None:
    folders = {name: tmp_path / name.lower() for name in ("LIGHT", "LOOK", "SCENES", "PREPARED", "WORK")}
    options = "DEMO_OPTIONS=train_cfg.max_iters=2 train_cfg.val_interval=2 train_dataloader.batch_size=2"
    settings = [f"{name}={folder}" for name, folder in folders.items()] + ["SCENE_COUNT=4", "SCENE_SIZE=640", options]
    done = subprocess.run(["make", "demo", *settings], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    # Make prints further lines where it was called by make.
    lines = [line.partition(": ") for line in done.stdout.splitlines()]
    named = {name: Path(path) for name, _, path in lines if name in ("picture", "figures", "page", "pictures")}
    assert named["picture"].is_file()
    assert named["figures"].is_file()
    assert named["page"].is_file()
    assert any(named["pictures"].iterdir())
