"""The table of all configs: what each is, costs, has learnt and reached."""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from oil_storage.errors import UserError
from oil_storage.reporting.figure_text import brief
from oil_storage.reporting.results import AGAIN, damage_named

DASH = "-"
MARK = r"\*"
"""Of seconds that were measured elsewhere; once more for a third place."""
HEADER = (
    *("config", "what", "M parameters", "GFLOPs", "s, training", "s, inference", "CUDA, images/s", "learns"),
    *("val AP", "val AP50"),
)


def line_up(configs: Path, known: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each config, in Markdown; a dash where nothing is measured.

    Args:
        configs: folder of the leaves; the first line of a leaf's docstring says what it is.
        known: see :func:`oil_storage.reporting.results.read`.
    """
    rows: list[Sequence[str]] = [HEADER, ["---"] * len(HEADER)]
    places = _places(known, "speed")
    for path in sorted(configs.glob("*.py")):
        about = known.get(path.stem, {})
        with damage_named(Path(f"{path.stem}.json"), AGAIN):
            known_of_it = [*_cost(about, places), _on_cuda(about), _learnt(about), *_reached(about)]
        rows.append([f"`{path.stem}`", _what(path), *known_of_it])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows) + "\n" + _hardware(known, places)


def _what(path: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except SyntaxError as error:
        raise UserError(f"{path}: line {error.lineno}: {error.msg}") from error
    return docstring.partition("\n")[0].rstrip(".")


def _places(known: Mapping[str, Mapping[str, Any]], part: str) -> list[str]:
    """Where a part was measured, the commonest place first; its figures are compared within one."""
    places: Counter[str] = Counter()
    for name, about in known.items():
        with damage_named(Path(f"{name}.json"), AGAIN):
            places.update([about[part]["hardware"]] if part in about else [])
    return [place for place, _ in places.most_common()]


def _cost(about: Mapping[str, Any], places: Sequence[str]) -> list[str]:
    if "speed" not in about:
        return [DASH] * 4
    speed = about["speed"]
    mark = MARK * places.index(speed["hardware"])
    times = [f"{brief(speed[phase]['p50'])}{mark}" for phase in ("training", "inference")]
    return [f"{speed['parameters'] / 1e6:.1f}", f"{speed['gflops']:.0f}", *times]


def _on_cuda(about: Mapping[str, Any]) -> str:
    return f"{about['cuda']['images_per_second']:.0f}" if "cuda" in about else DASH


def _learnt(about: Mapping[str, Any]) -> str:
    if "learns" not in about:
        return DASH
    learnt = about["learns"]
    verdict = "" if learnt["ap50"] >= learnt["wanted"] else "not yet: "
    return f"{verdict}{learnt['ap50']:.2f} in {learnt['iterations']} iterations, {learnt['seconds']:.0f} s"


def _reached(about: Mapping[str, Any]) -> list[str]:
    """AP and AP50 on the validation scenes of the data that was recorded first, the mean of the seeds, of one view."""
    runs = [run for run in about.get("runs", []) if run["split"] == "val" and not run["tta"]]
    runs = [run for run in runs if run["data"]["annotations_sha256"] == runs[0]["data"]["annotations_sha256"]]
    values = [[run["metrics"][f"coco/bbox_{name}"] for run in runs] for name in ("mAP", "mAP_50")]
    # null where a split has no box
    return [f"{mean(of_runs):.3f}" if of_runs and None not in of_runs else DASH for of_runs in values]


def _hardware(known: Mapping[str, Mapping[str, Any]], places: Sequence[str]) -> str:
    marked = [f"{MARK * index}{' ' * bool(index)}{place}" for index, place in enumerate(places)]
    gpus = _places(known, "cuda")
    return f"Costs: {'; '.join(marked) or 'not yet run'}. CUDA: {'; '.join(gpus) or 'not yet run'}.\n"
