import pytest

from oil_storage.annotations.tf_messages import parse_example, parse_label_map
from tests.tf_records import example


def test_lists_of_every_kind_come_back() -> None:
    lists = {"a": [b"x", b"", "ö".encode()], "b": [0.5, -1.0], "c": [1, -1, 2**40], "d": []}
    assert parse_example(example(lists)) == lists


def test_no_example_is_an_error() -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_example(b"\xff no message")


@pytest.mark.parametrize(
    "text",
    [
        "item {\n  id: 1\n  name: 'tank'\n}\nitem {\n  id: 2\n  name: 'ship'\n}\n",
        'item: { name: "tank", id: 1, display_name: "Tank" } item { id: 2; display_name: "ship" }  # Roboflow',
        "item { id: 1 name: 'tank' keypoints { id: 3 label: 'x' } } item { id: 2 name: 'ship' frequency: RARE }",
    ],
)
def test_label_maps_are_read_as_they_are_met(text: str) -> None:
    assert parse_label_map(text) == {1: "tank", 2: "ship"}


@pytest.mark.parametrize("text", ["item { id: x }", "item { id: 1", "tank"])
def test_what_is_no_label_map_is_named_by_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"2:\d+"):
        parse_label_map(f"\n{text}")
