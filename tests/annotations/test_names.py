from oil_storage.annotations.names import unique_name


def test_a_name_that_is_taken_gets_its_place() -> None:
    taken: set[str] = set()
    names = [unique_name("a", place, taken) for place in ("x:1", "x:2")]
    assert names == ["a", "a (x:2)"]
    assert taken == set(names)
