"""The notebook docs/tutorial.ipynb runs, and is committed without outputs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK: dict[str, Any] = json.loads(Path("docs/tutorial.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_has_no_outputs() -> None:
    assert len(CODE) > 4
    assert [cell["id"] for cell in CODE if cell["outputs"] or cell["execution_count"] is not None] == []


@pytest.mark.slow
def test_the_cells_run_in_order_and_find_the_tanks() -> None:
    sources = ["".join(cell["source"]) for cell in CODE]
    script = "\n".join(source for source in sources if not source.startswith("%"))  # magics need Jupyter
    # AP50 does not depend on the score threshold, which was chosen on real scenes.
    script = "import matplotlib; matplotlib.use('Agg')\n" + script + "\nassert figures.ap50 > 0.9, figures"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "precision" in done.stdout
