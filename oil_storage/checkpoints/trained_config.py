"""Store and compare the configs of training runs as JSON data. Stored configs are never executed."""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

Settings = dict[str, Any]
"""A config as JSON data."""

RECIPE = ("model", "train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "custom_hooks")
"""Keys of a config that define the experiment."""

ELSEWHERE = (
    *("data_root", "ann_file", "num_workers", "persistent_workers", "prefetch_factor", "pin_memory", "worker_init_fn"),
)
"""Keys that may differ between two runs of one experiment: the location of the data and the settings of workers."""


def to_settings(cfg: Config) -> Settings:
    """Return a config as JSON data; tuples become lists."""
    settings: Settings = json.loads(json.dumps(cfg.to_dict(), default=str))
    return settings


def parse(stored: Any) -> Settings:
    """Read the config in a checkpoint: JSON text, JSON data or, in older checkpoints, Python text of mmengine.

    Python text is parsed, not executed. It must only assign literals and ``dict(key=literal)`` to names.

    Raises:
        ValueError: the text is damaged or contains code.
    """
    try:
        if isinstance(stored, str):
            stored = json.loads(stored) if stored.lstrip().startswith("{") else _parse_python(stored)
        if not isinstance(stored, dict) or not all(isinstance(key, str) for key in stored):
            raise TypeError("it is not a dict")
        settings: Settings = json.loads(json.dumps(stored))
    except (SyntaxError, TypeError, json.JSONDecodeError, RecursionError, MemoryError) as error:
        raise ValueError(f"its config is damaged ({type(error).__name__}: {error})") from error
    return settings


def _parse_python(text: str) -> Settings:
    settings: Settings = {}
    for statement in ast.parse(text).body:
        try:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    settings[name] = ast.literal_eval(_AsLiterals().visit(value))
                case _:
                    raise ValueError("not an assignment of a literal")
        except ValueError as error:
            code = f"line {statement.lineno}: {ast.unparse(statement)[:40]!r}"
            raise ValueError(f"its config contains code, which is not executed ({code})") from error
    return settings


class _AsLiterals(ast.NodeTransformer):
    """Transformer that replaces ``dict(key=value)``, ``inf``, ``nan`` and other names by literals."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        names = [keyword.arg for keyword in node.keywords]
        if ast.unparse(node.func) != "dict" or node.args or None in names:
            return node
        values = [keyword.value for keyword in node.keywords]
        return self.generic_visit(ast.Dict([ast.Constant(name) for name in names], values))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(float(node.id) if node.id in ("inf", "nan") else node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        return ast.Constant(ast.unparse(node))


def recipe_sha256(settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the :data:`RECIPE`. The seed, the fold and the keys :data:`ELSEWHERE` do not affect it."""
    recipe = json.dumps([_portable(settings.get(key)) for key in RECIPE], sort_keys=True, default=str)
    return hashlib.sha256(recipe.encode()).hexdigest()


def schedule(settings: Mapping[str, Any], iterations: int, processes: int) -> dict[str, Any]:
    """Return ``images_seen``, ``scenes_fraction`` and ``learning_rate`` of :class:`oil_storage.figures.TrainedBy`."""
    loader, wrapper = settings["train_dataloader"], settings["optim_wrapper"]
    dataset = loader["dataset"]
    while "dataset" in dataset:  # in a wrapper, such as MultiImageMixDataset
        dataset = dataset["dataset"]
    return {
        "images_seen": iterations * loader["batch_size"] * processes,
        "scenes_fraction": dataset.get("scenes_fraction", 1.0),
        "learning_rate": wrapper["optimizer"]["lr"],
    }


def _portable(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _portable(value) for key, value in node.items() if key not in ELSEWHERE}
    return [_portable(value) for value in node] if isinstance(node, list | tuple) else node


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield differences between two configs, such as ``train_cfg.max_iters: 4 -> 8``; ignore :data:`ELSEWHERE`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in ELSEWHERE:
                yield from differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for index, (before, now) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, now, f"{path}.{index}")
    elif old != new:
        short = [text if len(text) <= 60 else f"{text[:56]} ..." for text in (repr(old), repr(new))]
        yield f"{path}: {short[0]} -> {short[1]}"
