"""Run tools in forked processes, kill each at one of its changes to its output folder, and run it again.

``python -m tests.killed_tools FOLDER KILLS`` prints a JSON object per kill, with the files that the tool wrote in the
uninterrupted run and after the kill and the repetition. The process that forks has imported the packages but has not
computed anything, so forking is safe.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from oil_storage.cli import audit_dataset, convert_dataset, detect, export, prepare_dataset
from oil_storage.files import is_partial
from tests.killed_process import forked, watch
from tests.raw_data import write_raw_data

Tool = Callable[[Path], int]
"""Function that writes its outputs into a folder and returns the exit status."""
TIMES = re.compile(rb'"(seconds|started|time)": [0-9.]+|\d{4}-\d\d-\d\dT[0-9:.]+Z')
"""Times of runs, which are not compared."""


def tools(folder: Path) -> dict[str, Tool]:
    """Write small inputs, and return the tools by name."""
    source = str(write_raw_data(folder / "source", scenes=3))
    weights = ["configs/oil/ssd_lite0_multires.py", "weights/ssd_lite0_multires.safetensors"]
    detected = [f"{source}/images", "--scale", "1", "--precision", "float32"]
    return {
        "prepare": lambda out: prepare_dataset.main([source, str(out / "data"), "--tile", "128", "--overlap", "32"]),
        "convert": lambda out: convert_dataset.main([source, str(out / "coco"), "--to", "coco"]),
        "audit": lambda out: audit_dataset.main([source, "--fix", str(out / "fixed")]),
        "detect": lambda out: detect.command([*detected, "--out", str(out / "found")]),
        "export": lambda out: export.main([*weights, "--to", "safetensors", "--out", f"{out}/a.safetensors"]),
    }


def contents(out: Path) -> dict[str, str]:
    """Return the SHA-256 of each complete file in a folder, without times."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    complete = [path for path in files if not any(map(is_partial, [path, *path.parents]))]
    return {str(path.relative_to(out)): hashlib.sha256(_timeless(path)).hexdigest()[:12] for path in complete}


def _timeless(path: Path) -> bytes:
    content = TIMES.sub(b"", path.read_bytes())
    if path.suffix == ".gpkg":  # without SQLite's counts of transactions, which GDAL splits by time
        content = content[:24] + content[28:92] + content[96:]
    return content


def main(folder: Path, kills: int) -> None:
    """Kill each tool at ``kills`` moments, spread evenly over its changes of the output folder."""
    for name, tool in tools(folder).items():
        out = folder / name / "out"  # the same path in all runs, because outputs name it

        def run(label: str, at: int | None = None, tool: Tool = tool, out: Path = out) -> int:
            def body() -> int:
                out.mkdir(exist_ok=True)
                watch(out, re.compile(""), at, out.with_name(f"{label}.events"))
                return tool(out)

            return forked(body, out.with_name(f"{label}.log"))

        out.parent.mkdir()
        status = run("whole")
        whole = contents(out)
        moments = out.with_name("whole.events").read_text().splitlines()
        for kill in range(kills):
            out.rename(out.with_name(f"out_{kill}"))
            at = kill * len(moments) // kills
            killed = run(f"killed_{kill}", at)
            had = contents(out)
            again = run(f"again_{kill}")
            found = {"tool": name, "at": moments[at], "statuses": [status, killed, again]}
            left = [str(path) for path in out.rglob("*") if is_partial(path)]
            print(json.dumps({**found, "whole": whole, "had": had, "again": contents(out), "left": left}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
