"""Make the table of all configs: description, costs, result of the overfit check, and val AP."""

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean

from oil_storage.errors import UserError
from oil_storage.figures import ConfigResults, metric_key
from oil_storage.reporting.formatting import brief, markdown_table

DASH = "-"
MARK = r"\*"
"""Mark of times on the second most common hardware. Times on the third have two marks, and so on."""
HEADER = (
    *("config", "what", "M parameters", "GFLOPs", "s, training", "s, inference", "CUDA, images/s", "learns"),
    *("val AP", "val AP50"),
)


def config_table(configs: Path, known: Mapping[str, ConfigResults]) -> str:
    """Make a Markdown table with a row for each config. A dash marks a missing value.

    Args:
        configs: folder of config files; the first line of a file's docstring describes the config.
        known: recorded results of each config; see :func:`oil_storage.reporting.results.read`.
    """
    hardware = _commonest_first(content.speed.hardware for content in known.values() if content.speed)
    gpus = _commonest_first(content.cuda.hardware for content in known.values() if content.cuda)
    rows = []
    for path in sorted(configs.glob("*.py")):
        content = known.get(path.stem, ConfigResults(config=path.stem))
        cuda = f"{content.cuda.images_per_second:.0f}" if content.cuda else DASH
        rows.append([f"`{path.stem}`", _what(path), *_cost(content, hardware), cuda, _learnt(content), *_ap(content)])
    marked = [f"{MARK * index}{' ' * bool(index)}{name}" for index, name in enumerate(hardware)]
    costs = f"Costs: {'; '.join(marked) or 'not yet run'}. CUDA: {'; '.join(gpus) or 'not yet run'}.\n"
    return f"{markdown_table(HEADER, rows)}\n{costs}"


def _what(path: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    except SyntaxError as error:
        raise UserError(f"{path}:{error.lineno}: {error.msg}") from error
    return docstring.partition("\n")[0].rstrip(".")


def _commonest_first(names: Iterable[str]) -> list[str]:
    return [name for name, _ in Counter(names).most_common()]


def _cost(content: ConfigResults, hardware: Sequence[str]) -> list[str]:
    if content.speed is None:
        return [DASH] * 4
    mark = MARK * hardware.index(content.speed.hardware)
    times = [f"{brief(times.p50)}{mark}" for times in (content.speed.training, content.speed.inference)]
    return [f"{content.speed.parameters / 1e6:.1f}", f"{content.speed.gflops:.0f}", *times]


def _learnt(content: ConfigResults) -> str:
    if (learnt := content.learns) is None:
        return DASH
    verdict = "" if learnt.ap50 >= learnt.wanted else "not yet: "
    return f"{verdict}{learnt.ap50:.2f} in {learnt.iterations} iterations, {learnt.seconds:.0f} s"


def _ap(content: ConfigResults) -> list[str]:
    """Return the mean AP and AP50 over seeds, on the val split of the first recorded data set and without TTA."""
    runs = [run for run in content.runs if run.split == "val" and not run.tta and run.scenes_fraction == 1]
    runs = [run for run in runs if run.data.annotations_sha256 == runs[0].data.annotations_sha256]
    cells = []
    for name in ("mAP", "mAP_50"):
        values = [value for run in runs if (value := run.metrics[metric_key(name)]) is not None]
        cells.append(f"{mean(values):.3f}" if values and len(values) == len(runs) else DASH)
    return cells
