"""QGIS style of the detected tanks, stored in the GeoPackage so that QGIS applies it when it opens the layer.

Source: https://docs.qgis.org/latest/en/docs/user_manual/managing_data_source/opening_data.html#saving-styles-in-a-database
"""

import sqlite3
from contextlib import closing
from xml.sax.saxutils import quoteattr

COLOURS = {0.2: "68,1,84", 0.4: "59,82,139", 0.6: "33,145,140", 0.8: "94,201,98", 1.0: "253,231,37"}
"""Colour of the outline, as red, green and blue, for scores up to each limit: viridis."""
TABLE = """
CREATE TABLE layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256),
    styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30),
    ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
)
"""
"""Table in which QGIS stores the styles of layers."""


def with_style(geopackage: bytes, layer: str, label: str) -> bytes:
    """Add a style to a GeoPackage: outlines in a colour for the ``score``, and labels.

    Args:
        geopackage: content of the file.
        layer: name of the layer.
        label: QGIS expression for the labels.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(geopackage)
        (column,) = database.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", (layer,)
        ).fetchone()
        database.execute(TABLE)
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName,"
            " styleQML, useAsDefault) VALUES ('', '', ?, ?, 'score', ?, 1)",
            (layer, column, _qml(label)),
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES ('layer_styles', 'attributes', '')"
        )
        database.commit()
        return database.serialize()


def _qml(label: str) -> str:
    """Return the style as QML, the XML format of QGIS."""
    limits = [0.0, *COLOURS]
    ranges = "".join(
        f'<range symbol="{index}" lower="{low}" upper="{high}" label="score {low} to {high}" render="true"/>'
        for index, (low, high) in enumerate(zip(limits, COLOURS, strict=False))
    )
    symbols = "".join(
        f'<symbol type="fill" name="{index}" alpha="1"><layer class="SimpleLine" enabled="1">'
        f'<prop k="line_color" v="{colour},255"/><prop k="line_width" v="0.6"/><prop k="line_width_unit" v="MM"/>'
        "</layer></symbol>"
        for index, colour in enumerate(COLOURS.values())
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        '<qgis version="3.16.0" styleCategories="Symbology|Labeling" labelsEnabled="1">'
        '<renderer-v2 type="graduatedSymbol" attr="score" graduatedMethod="GraduatedColor">'
        f"<ranges>{ranges}</ranges><symbols>{symbols}</symbols></renderer-v2>"
        f'<labeling type="simple"><settings><text-style fieldName={quoteattr(label)} isExpression="1" fontSize="8"'
        ' textColor="0,0,0,255"><text-buffer bufferDraw="1" bufferSize="0.7" bufferColor="255,255,255,255"/>'
        '</text-style><placement placement="1"/></settings></labeling></qgis>'
    )
