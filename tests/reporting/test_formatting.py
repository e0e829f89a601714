from oil_storage.figures import metric_key
from oil_storage.reporting.formatting import TILE_FIGURES, markdown_table, tile_table


def test_tile_table_shows_a_dash_for_sizes_without_boxes() -> None:
    metrics: dict[str, float | None] = {metric_key(key): 0.25 for key in TILE_FIGURES.values()}
    metrics[metric_key(TILE_FIGURES["AP large"])] = None
    rows = tile_table(metrics).splitlines()
    assert rows[0] == "AP        0.250"
    assert "AP large  -" in rows


def test_markdown_table_escapes_bars() -> None:
    assert markdown_table(["a"], [["x|y"]]) == "| a |\n| --- |\n| x\\|y |\n"
