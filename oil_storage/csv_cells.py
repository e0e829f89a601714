"""Text in CSV cells that spreadsheets would run as a formula."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters with which a formula begins."""
QUOTE = "'"
"""Character that makes spreadsheets take the rest of a cell as text."""


def as_cell(text: str) -> str:
    """Return a text that spreadsheets do not take for a formula: ``'=1+1`` for ``=1+1``."""
    return QUOTE + text if text.startswith(FORMULA) else text


def from_cell(cell: str) -> str:
    """Return the text of which :func:`as_cell` made a cell."""
    return cell[1:] if cell.startswith(tuple(QUOTE + sign for sign in FORMULA)) else cell
