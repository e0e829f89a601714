import json
import subprocess
import sys
from pathlib import Path

import pytest

from oil_storage.cli.report import main
from oil_storage.reporting.results import markdown, read
from tests.reporting.test_results import write_run

CONFIG_TABLE = "<!-- configs -->\n<!-- /configs -->\n"
README = "above\n<!-- results -->\nold\n<!-- /results -->\nbelow\n"
PLOT = "<!-- plot -->\n<!-- /plot -->\n"
TABLES = ("plot", "scores", "differences", "curves", "costs", "fractions", "budget", "search", "cuda")


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(README + PLOT)
    path.with_name("page.md").write_text(README)
    path.with_name("benchmark.md").write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in TABLES))
    (tmp_path / "configs" / "oil").mkdir(parents=True)
    (tmp_path / "configs" / "oil" / "toy.py").write_text('"""A toy.\n\nMore of it.\n"""\n')
    (tmp_path / "configs" / "README.md").write_text(CONFIG_TABLE)
    return path


def arguments(readme: Path) -> list[str]:
    folder = readme.parent
    pages = ["--readme", str(readme), "--page", f"{folder / 'page.md'}", "--benchmark", f"{folder / 'benchmark.md'}"]
    return ["--results", f"{folder / 'results'}", *pages, "--configs", f"{folder / 'configs'}"]


def test_run_of_a_seed_is_recorded_once_and_shown(readme: Path) -> None:
    folder = readme.parent
    runs = [write_run(folder / f"run{i}", ap, seed) for i, (seed, ap) in enumerate([(1, 0.25), (0, 0.5), (1, 0.75)])]
    assert main([*map(str, runs), *arguments(readme)]) == 0
    content = json.loads((folder / "results" / "toy.json").read_text())
    assert [(run["seed"], run["metrics"]["coco/bbox_mAP"]) for run in content["runs"]] == [(0, 0.5), (1, 0.75)]
    shown = markdown(read(folder / "results"))
    assert "| `toy` | - | scenes | val | 1 | 0.750 |" in shown
    assert readme.with_name("page.md").read_text() == f"above\n<!-- results -->\n{shown}<!-- /results -->\nbelow\n"
    assert "| `toy` | scenes | val | 1 | 0.750 | 0.750 |" in readme.read_text()
    configs = (folder / "configs" / "README.md").read_text()
    assert "| `toy` | A toy | - | - | - | - | - | - | 0.625 | 0.625 |\n" in configs


@pytest.mark.parametrize(
    "text", ["no marks", "<!-- /results -->\n<!-- results -->\n", "<!-- results -->\n", "<!-- /results -->\n"]
)
def test_page_without_table_markers_is_refused_before_recording(
    readme: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    readme.write_text(text)
    assert main([str(write_run(readme.parent / "run")), *arguments(readme)]) == 2
    assert "README.md: lacks the lines" in capsys.readouterr().err
    assert not readme.with_name("results").exists()
    assert readme.read_text() == text


def test_one_invalid_run_prevents_all_recording(readme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = write_run(readme.parent / "good"), write_run(readme.parent / "bad", trained=None)
    assert main([str(good), str(bad), *arguments(readme)]) == 2
    assert "has no record of its training data" in capsys.readouterr().err
    assert not readme.with_name("results").exists()
    assert readme.read_text() == README + PLOT


def test_invalid_config_page_leaves_readme_and_results_unchanged(
    readme: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configs = Path(arguments(readme)[arguments(readme).index("--configs") + 1])
    (configs / "oil").mkdir(exist_ok=True)
    (configs / "oil" / "broken.py").write_text("model = (")
    assert main([str(write_run(readme.parent / "run")), *arguments(readme)]) == 2
    assert "broken.py:1" in capsys.readouterr().err
    assert readme.read_text() == README + PLOT
    assert not readme.with_name("results").exists()


def test_report_without_results_does_not_change_the_table(readme: Path) -> None:
    assert main(arguments(readme)) == 2
    assert readme.read_text() == README + PLOT


def test_report_imports_no_torch(readme: Path) -> None:
    argv = [str(write_run(readme.parent / "run")), *arguments(readme)]
    code = f"import sys; from oil_storage.cli.report import main; main({argv}); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith(("|", "recorded in ")) for line in done.stdout.splitlines())
