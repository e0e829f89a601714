"""The same three labelled scenes in every format that is read, as the tools that people use export them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.transform import Affine

from oil_storage.annotations import formats
from oil_storage.annotations.geojson import feature_collection
from oil_storage.audit.records import audit
from oil_storage.image_file import read_georeference
from oil_storage.scene import CLASS_NAME, Scene
from tests.labelled_scenes import write_geotiff
from tests.tf_records import example, image_features, write_records

NAMES = ("alpha", "bravo", "charlie")
SIZE = (160, 120)
Boxes = dict[str, list[tuple[float, float, float, float]]]


def make_scenes(folder: Path) -> list[Scene]:
    """Write three georeferenced images to ``folder``; return them with ten boxes each."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    scenes = []
    for index, name in enumerate(NAMES):
        path = folder / f"{name}.tif"
        write_geotiff(path, *SIZE, "EPSG:32631", Affine(1, 0, 600_000 + 1000 * index, 0, -1, 5_700_000))
        cells = rng.choice(20, 10, replace=False)
        corners = np.stack([cells % 5 * 32 + 6, cells // 5 * 30 + 6], axis=1)
        boxes = np.hstack([corners, corners + rng.integers(10, 18, (10, 2))]).astype(np.float32)
        scenes.append(Scene(name, path, *SIZE, boxes, read_georeference(path)))
    return scenes


def _images(scenes: list[Scene], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        shutil.copyfile(scene.image, folder / scene.image.name)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def written(name: str) -> Callable[[list[Scene], Path], None]:
    """Return a function that writes one of our own formats."""
    return lambda scenes, out: formats.write(scenes, out, name)


def yolo_lines(scene: Scene, corners: bool = False) -> str:
    rows = []
    for x1, y1, x2, y2 in (scene.boxes / (*SIZE, *SIZE)).tolist():
        values = (x1, y1, x2, y1, x2, y2, x1, y2) if corners else ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)
        rows.append(" ".join(["0", *(f"{value:.6f}" for value in values)]))
    return "\n".join(rows) + "\n"


def cvat_yolo(scenes: list[Scene], out: Path) -> None:
    """CVAT: YOLO 1.1."""
    _images(scenes, out / "obj_train_data")
    for scene in scenes:
        _write(out / "obj_train_data" / f"{scene.scene_id}.txt", yolo_lines(scene))
    _write(out / "obj.names", f"{CLASS_NAME}\n")
    _write(out / "obj.data", "classes = 1\nnames = data/obj.names\ntrain = data/train.txt\n")
    _write(out / "train.txt", "".join(f"data/obj_train_data/{name}.tif\n" for name in NAMES))


def roboflow_darknet(scenes: list[Scene], out: Path) -> None:
    """Roboflow: YOLO Darknet."""
    _images(scenes, out / "train")
    for scene in scenes:
        _write(out / "train" / f"{scene.scene_id}.txt", yolo_lines(scene))
    _write(out / "train" / "_darknet.labels", CLASS_NAME)


def label_studio_yolo(scenes: list[Scene], out: Path) -> None:
    """Label Studio: YOLO, with upload ids; only ``notes.json`` has the class."""
    _images(scenes, out / "images")
    for scene in scenes:
        _write(out / "labels" / f"9f8e7d6c-{scene.scene_id}.txt", yolo_lines(scene))
    _write(out / "notes.json", {"categories": [{"id": 0, "name": CLASS_NAME}], "info": {"year": 2026}})


def ultralytics_obb(scenes: list[Scene], out: Path) -> None:
    """Ultralytics: oriented boxes."""
    _images(scenes, out / "images" / "train")
    for scene in scenes:
        _write(out / "labels" / "train" / f"{scene.scene_id}.txt", yolo_lines(scene, corners=True))
    _write(out / "data.yaml", f"train: images/train\nnames:\n  0: {CLASS_NAME}\n")


def coco(scenes: list[Scene], out: Path, **changes: Any) -> None:
    """CVAT: COCO 1.0, with the images in a subfolder."""
    _images(scenes, out / "images" / "default")
    number: Callable[[int], Any] = changes.get("number", int)
    prefix = changes.get("prefix", "")
    images, boxes = [], []
    for index, scene in enumerate(scenes, start=1):
        name = f"{prefix}{scene.image.name}"
        images.append({"id": number(index), "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for x1, y1, x2, y2 in scene.boxes.tolist():
            entry = {"image_id": index, "category_id": number(1), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            boxes.append({"id": number(len(boxes) + 1), **entry})
    categories = [{"id": 0, "name": "tanks", "supercategory": "none"}]
    categories.append({"id": 1, "name": CLASS_NAME, "supercategory": "tanks"})
    content = {"images": images, "annotations": boxes, "categories": categories}
    _write(out / "annotations" / "instances_default.json", content)


def label_studio_coco(scenes: list[Scene], out: Path) -> None:
    """Label Studio: COCO, with the paths of its server, encoded as in a URL, and text ids."""
    coco(scenes, out, number=str, prefix="..\\..\\data\\media\\upload\\4\\0a1b2c3d-")


def cvat_voc(scenes: list[Scene], out: Path) -> None:
    """CVAT: PASCAL VOC 1.1."""
    formats.write(scenes, out, "voc")
    _write(out / "ImageSets" / "Main" / "default.txt", "\n".join(NAMES))


def table(scenes: list[Scene], out: Path) -> None:
    """Roboflow: Tensorflow Object Detection CSV."""
    _images(scenes, out / "train")
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for scene in scenes:
        for box in scene.boxes.astype(int).tolist():
            rows.append(",".join(map(str, (scene.image.name, *SIZE, CLASS_NAME, *box))))
    _write(out / "train" / "_annotations.csv", "\n".join(rows) + "\n")


def tfrecord(scenes: list[Scene], out: Path) -> None:
    """TensorFlow: one shard for each scene."""
    out.mkdir(parents=True)
    for index, scene in enumerate(scenes):
        features = image_features(scene.image.read_bytes(), scene.image.name, SIZE, scene.boxes.tolist(), CLASS_NAME)
        write_records(out / f"train-{index:05d}-of-{len(scenes):05d}.tfrec", [example(features)])


def label_studio_min(scenes: list[Scene], out: Path) -> None:
    """Label Studio: JSON-MIN."""
    formats.write(scenes, out, "label-studio")
    tasks = json.loads((out / "tasks.json").read_text())
    (out / "tasks.json").unlink()
    short = []
    for task in tasks:
        regions = task["annotations"][0]["result"]
        labels = [{**one["value"], "original_width": SIZE[0], "original_height": SIZE[1]} for one in regions]
        short.append({"id": len(short), "image": task["data"]["image"], "label": labels})
    _write(out / "project-1.json", short)


def supervisely(scenes: list[Scene], out: Path) -> None:
    _images(scenes, out / "ds0" / "img")
    _write(out / "meta.json", {"classes": [{"title": CLASS_NAME, "shape": "rectangle"}], "tags": []})
    for scene in scenes:
        objects = [
            {
                "classTitle": CLASS_NAME,
                "geometryType": "rectangle",
                "points": {"exterior": [[x1, y1], [x2, y2]], "interior": []},
            }
            for x1, y1, x2, y2 in scene.boxes.tolist()
        ]
        content = {"size": {"width": SIZE[0], "height": SIZE[1]}, "tags": [], "objects": objects}
        _write(out / "ds0" / "ann" / f"{scene.image.name}.json", content)


def dota(scenes: list[Scene], out: Path) -> None:
    _images(scenes, out / "images")
    for scene in scenes:
        rows = ["imagesource:GoogleEarth", "gsd:0.5"]
        for x1, y1, x2, y2 in scene.boxes.tolist():
            rows.append(f"{x1} {y1} {x2} {y1} {x2} {y2} {x1} {y2} storage-tank 0")
        _write(out / "labelTxt" / f"{scene.scene_id}.txt", "\n".join(rows) + "\n")


def xview(scenes: list[Scene], out: Path) -> None:
    _images(scenes, out / "train_images")
    features = [
        {
            "type": "Feature",
            "properties": {
                "bounds_imcoords": ",".join(str(int(value)) for value in box),
                "image_id": scene.image.name,
                "type_id": 86,
            },
            "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]},
        }
        for scene in scenes
        for box in scene.boxes.tolist()
    ]
    _write(out / "xView_train.geojson", {"type": "FeatureCollection", "features": features})


def _polygons(scene: Scene) -> list[Any]:
    from shapely import box

    assert scene.georeference
    corners = scene.georeference.to_world(scene.boxes.reshape(-1, 2).astype(float)).reshape(-1, 4)
    return [box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)) for x1, y1, x2, y2 in corners.tolist()]


def one_geojson(scenes: list[Scene], out: Path) -> None:
    """QGIS: one GeoJSON file of all scenes, in the coordinate system of the project."""
    _images(scenes, out)
    shapes = [shape for scene in scenes for shape in _polygons(scene)]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    _write(out / "tanks.geojson", feature_collection(shapes, [{"CLASS": CLASS_NAME}] * len(shapes), crs=crs))


def geojson_sequence(scenes: list[Scene], out: Path) -> None:
    """GDAL: GeoJSONSeq, one feature per line."""
    formats.write(scenes, out, "geojson")
    for file in (out / "images").glob("*.geojson"):
        features = json.loads(file.read_text())["features"]
        file.with_suffix(".geojsonl").write_text("".join(json.dumps(one) + "\n" for one in features))
        file.unlink()


def vector(suffix: str) -> Callable[[list[Scene], Path], None]:
    """Return a function that writes one vector file of all scenes with GDAL, as QGIS does."""

    def write(scenes: list[Scene], out: Path) -> None:
        import geopandas

        _images(scenes, out)
        shapes = [shape for scene in scenes for shape in _polygons(scene)]
        frame = geopandas.GeoDataFrame({"Class": [CLASS_NAME] * len(shapes)}, geometry=shapes, crs="EPSG:32631")
        frame.to_file(out / f"tanks{suffix}", engine="pyogrio")

    return write


EXPORTS: dict[str, tuple[str, Callable[[list[Scene], Path], None]]] = {
    "airbus": ("airbus", written("airbus")),
    "coco of CVAT": ("coco", coco),
    "coco of Label Studio": ("coco", label_studio_coco),
    "cvat": ("cvat", written("cvat")),
    "dota": ("dota", dota),
    "geojson": ("geojson", written("geojson")),
    "geojson of all scenes": ("geojson", one_geojson),
    "geojson sequence": ("geojson", geojson_sequence),
    "label-studio": ("label-studio", written("label-studio")),
    "label-studio JSON-MIN": ("label-studio", label_studio_min),
    "labelme": ("labelme", written("labelme")),
    "supervisely": ("supervisely", supervisely),
    "table": ("table", table),
    "tfrecord": ("tfrecord", tfrecord),
    "GeoPackage": ("vector", vector(".gpkg")),
    "shapefile": ("vector", vector(".shp")),
    "FlatGeobuf": ("vector", vector(".fgb")),
    "voc of CVAT": ("voc", cvat_voc),
    "xview": ("xview", xview),
    "yolo": ("yolo", written("yolo")),
    "yolo of CVAT": ("yolo", cvat_yolo),
    "yolo of Roboflow": ("yolo", roboflow_darknet),
    "yolo of Label Studio": ("yolo", label_studio_yolo),
    "yolo OBB": ("yolo", ultralytics_obb),
}
"""Format and writer of each export."""


def boxes_of(source: Path) -> tuple[Boxes, list[str]]:
    """Return the boxes in ``source`` by scene, rounded to pixels and sorted, and the findings of its audit."""
    scenes, findings = audit(formats.read(source), {CLASS_NAME: CLASS_NAME})
    boxes = {scene.scene_id: sorted(tuple(row) for row in scene.boxes.round().tolist()) for scene in scenes}
    return boxes, [str(finding) for finding in findings]
