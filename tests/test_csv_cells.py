import pytest

from oil_storage.csv_cells import as_cell, from_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_formulas_become_text_and_back(text: str) -> None:
    assert as_cell(text) == f"'{text}"
    assert from_cell(as_cell(text)) == text


@pytest.mark.parametrize("text", ["", "scene", "a=1", "'quoted", "Öltank"])
def test_other_text_does_not_change(text: str) -> None:
    assert as_cell(text) == text
    assert from_cell(text) == text
