"""Parsing and comparison of stored configs."""

from typing import Any

import pytest
from mmengine.config import Config

from oil_storage.checkpoints.trained_config import differences, parse, to_settings


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1}}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b: 1 -> 2"]),
        ({"a": [1, {"b": 2}]}, {"a": (1, {"b": 3})}, ["a.1.b: 2 -> 3"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] -> [1, 2]"]),
        ({"a": 1}, {"b": 2}, ["a: 1 -> None", "b: None -> 2"]),
        ({"a": {"data_root": "x", "num_workers": 2}}, {"a": {"data_root": "y"}}, []),
        ({"a": "x" * 99}, {"a": 1}, [f"a: '{'x' * 55} ... -> 1"]),
    ],
)
def test_differences_contain_the_path_in_the_config(old: Any, new: Any, expected: list[str]) -> None:
    assert list(differences(old, new)) == expected


def test_configs_stored_as_python_text_are_parsed() -> None:
    for name in ("ssd_lite0", "faster_rcnn_r50", "dino_r50"):
        cfg = Config.fromfile(f"configs/oil/{name}.py", import_custom_modules=False)
        assert parse(cfg.pretty_text) == to_settings(cfg), name


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "a = open('x', 'w')",
        "a = dict(b=__import__('os').system('touch x'))",
        "a = [x for x in ()]",
        "a = dict(**{})",
        "a = {**{}, 1: 2}",
        "a = f'{1}'",
        "def f(): pass",
        "a = 1 if True else 2",
        "a.b = 1",
    ],
)
def test_code_in_a_config_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="line 1: "):
        parse(text)


def test_names_in_lazy_configs_become_text() -> None:
    parsed = parse("a = dict(type=mmdet.models.RetinaNet, b=inf, c=-inf)")
    assert parsed == {"a": {"type": "mmdet.models.RetinaNet", "b": float("inf"), "c": -float("inf")}}
