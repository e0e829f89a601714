import pytest

from oil_storage.annotations.classes import parse_class_map
from oil_storage.errors import UserError
from oil_storage.scene import CLASS_NAME


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, {}),
        ("", {}),
        (f"Storage Tank={CLASS_NAME},ship=-", {"Storage Tank": CLASS_NAME, "ship": None}),
        (f" 3 = {CLASS_NAME} , Öltank={CLASS_NAME}", {"3": CLASS_NAME, "Öltank": CLASS_NAME}),
        (f'"tank, small={CLASS_NAME}",a=b=-', {"tank, small": CLASS_NAME, "a=b": None}),
        ("ship=-,ship=-", {"ship": None}),
    ],
)
def test_names_are_tanks_or_left_out(text: str | None, expected: dict[str, str | None]) -> None:
    assert parse_class_map(text) == {CLASS_NAME: CLASS_NAME, **expected}


def test_our_own_name_may_be_left_out() -> None:
    assert parse_class_map(f"{CLASS_NAME}=-") == {CLASS_NAME: None}


@pytest.mark.parametrize("text", ["ship", "=-", "ship=", "ship=boat", "ship=-,", f"ship:{CLASS_NAME}"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is not NAME=oil-storage-tank, nor NAME=-"):
        parse_class_map(text)


def test_a_name_has_one_meaning() -> None:
    with pytest.raises(UserError, match="'ship' is both"):
        parse_class_map(f"ship=-,ship={CLASS_NAME}")
