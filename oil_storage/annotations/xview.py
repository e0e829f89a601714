"""xView annotations (read only): a GeoJSON file whose features have their boxes in pixels as properties.

The geometries of xView are rounded, so the property ``bounds_imcoords`` is read instead: ``xmin,ymin,xmax,ymax``. The
class is the number ``type_id``; 86 stands for ``Storage Tank``.

Source: https://xviewdataset.org, https://github.com/DIUx-xView/xView1_baseline
"""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field

from oil_storage.annotations.record import Annotations, Record
from oil_storage.annotations.source import Source, report_unlisted
from oil_storage.coco import Identifier
from oil_storage.errors import UserError
from oil_storage.files import read_json, validated

BOUNDS = re.compile(r'"bounds_imcoords"\s*:')
STORAGE_TANK_ID, STORAGE_TANK = 86, "Storage Tank"
"""Number of the class of tanks, and its name."""


class _Properties(BaseModel):
    bounds: Annotated[str, Field(alias="bounds_imcoords")]
    image: Annotated[str, Field(alias="image_id", min_length=1)]
    kind: Annotated[Identifier, Field(alias="type_id")]


class _Feature(BaseModel):
    properties: _Properties


class _Collection(BaseModel):
    features: list[_Feature]


def annotation_files(source: Source) -> list[Path]:
    """Return the GeoJSON files with the property ``bounds_imcoords``."""
    return [file for file in source.with_suffix(".geojson", ".json") if source.starts_with(file, BOUNDS)]


def read(source: Source, files: list[Path]) -> Annotations:
    """Read GeoJSON files of xView. Images that no feature names are left out, as they may have unlabelled tanks."""
    annotations = Annotations([], [], files)
    for file in files:
        names: dict[str, str] = {}
        for index, feature in enumerate(validated(read_json(file), _Collection, file).features):
            place = f"{file}: features[{index}]"
            properties = feature.properties
            if properties.image not in names:
                path = source.images.find(properties.image, near=file)
                names[properties.image] = annotations.add_image(properties.image, path, None, place)
            try:
                x1, y1, x2, y2 = map(float, properties.bounds.split(","))
            except ValueError:
                problem = f"bounds_imcoords is {properties.bounds!r:.80}"
                raise UserError(f"{place}: {problem}; write xmin,ymin,xmax,ymax") from None
            class_name = STORAGE_TANK if properties.kind == STORAGE_TANK_ID else str(properties.kind)
            annotations.records.append(Record(names[properties.image], class_name, (x1, y1, x2, y2), place))
    report_unlisted(annotations, source)
    return annotations
