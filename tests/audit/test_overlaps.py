from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from rasterio.warp import transform

from oil_storage.audit.fingerprint import Fingerprint, fingerprint
from oil_storage.audit.overlaps import Overlap, connected_groups, find_overlaps, footprints, overlaps_from_coordinates
from oil_storage.georeference import Georeference
from oil_storage.imagery import read_pixels
from oil_storage.scene import Scene
from oil_storage.synthetic.rendering import render_scene

KNOWN_PAIR = ("058b9459-27b9-4047-b3ad-ecaa7e42399c", "8e40cbf3-aea6-497c-83ed-5f9929e4ccde")
"""The only pair of overlapping scenes in the Airbus data; they share 63 % of their area."""
SIDE = 320
Image = NDArray[np.uint8]


def ground(seed: int, height: int = 2 * SIDE, width: int = 2 * SIDE) -> Image:
    """Return grey ground with texture at several scales."""
    rng = np.random.default_rng(seed)
    sizes = (1, 2, 4, 8, 16)
    detail = sum(
        size * cv2.GaussianBlur(rng.normal(size=(height, width, 1)), None, size, borderType=cv2.BORDER_REFLECT)
        for size in sizes
    )
    grey = np.clip(110 + 45 * detail / np.std(detail), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def jpeg(image: Image, quality: int) -> Image:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def darkened(image: Image) -> Image:
    return (image * 0.7 + 5).astype(np.uint8)


def fingerprints(images: dict[str, Image]) -> list[Fingerprint]:
    return [fingerprint(name, image) for name, image in images.items()]


def pairs(overlaps: Sequence[Overlap]) -> list[tuple[str, str]]:
    return [(overlap.first, overlap.second) for overlap in overlaps]


@pytest.fixture(scope="module")
def others() -> list[Fingerprint]:
    return fingerprints({f"other_{seed}": ground(100 + seed, SIDE, SIDE) for seed in range(4)})


@pytest.mark.parametrize(
    ("x", "y"),
    [(304, 0), (0, -304), (-248, 248), (152, -152), (3, 1)],
    ids=lambda shift: str(shift),
)
def test_find_overlaps_detects_windows_that_share_five_percent(x: int, y: int, others: list[Fingerprint]) -> None:
    whole = ground(abs(x) + 7 * abs(y))
    left, top = max(0, -x), max(0, -y)
    first = whole[top : top + SIDE, left : left + SIDE]
    second = whole[top + y : top + y + SIDE, left + x : left + x + SIDE]
    images = {"first": jpeg(first, 95), "second": jpeg(darkened(second), 60)}
    overlaps = find_overlaps([*others, *fingerprints(images)])
    assert pairs(overlaps) == [("first", "second")]
    assert np.abs(overlaps[0].matrix[:, 2] - (x, y)).max() < 1.5
    assert overlaps[0].shared == pytest.approx((SIDE - abs(x)) * (SIDE - abs(y)) / SIDE**2, abs=0.01)
    assert overlaps[0].score > 0.6


@pytest.mark.parametrize(("like", "expected"), [(0, []), (2, [("first", "second")])])
def test_two_matches_suffice_for_a_shift(like: int, expected: list[tuple[str, str]], others: list[Fingerprint]) -> None:
    whole, shift = ground(3), 200
    first, second = fingerprints({"first": whole[:SIDE, :SIDE], "second": whole[:SIDE, shift : shift + SIDE]})
    is_common = second.points[:, 0] < SIDE - shift
    is_whole = second.points[:, 0] > 2 * second.points[:, 2]  # the border does not cut its descriptor
    away = (first.points[:, None] - second.points - np.float32([shift, 0, 0, 0])) * np.float32([1, 1, 1, 5])
    again = np.flatnonzero(
        is_common & is_whole & (np.abs(away).max(axis=2).min(axis=0) < 0.5) & (second.points[:, 2] > 6)
    )
    _, places = np.unique(second.points[again, 0].round(), return_index=True)  # a place may have several directions
    remaining = np.concatenate([np.flatnonzero(~is_common), again[places[:like]]])
    thinned = replace(second, points=second.points[remaining], descriptors=second.descriptors[remaining])
    assert pairs(find_overlaps([*others, first, thinned])) == expected


def corners(matrix: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    square = np.array([(0, 0), (side, 0), (side, side), (0, side)])
    return square @ matrix[:, :2].T + matrix[:, 2]


WHOLE = [(0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda image: image, WHOLE),
        (lambda image: np.rot90(image), [(SIDE, 0), (SIDE, SIDE), (0, SIDE), (0, 0)]),
        (lambda image: np.rot90(image, 2), [(SIDE, SIDE), (0, SIDE), (0, 0), (SIDE, 0)]),
        (lambda image: image[:, ::-1], [(SIDE, 0), (0, 0), (0, SIDE), (SIDE, SIDE)]),
        (lambda image: image[::-1], [(0, SIDE), (SIDE, SIDE), (SIDE, 0), (0, 0)]),
        (lambda image: image.transpose(1, 0, 2), [(0, 0), (0, SIDE), (SIDE, SIDE), (SIDE, 0)]),
        (lambda image: cv2.resize(image, (290, 290), interpolation=cv2.INTER_AREA), WHOLE),
        (lambda image: cv2.resize(image, (160, 160), interpolation=cv2.INTER_AREA), WHOLE),
        (lambda image: image[40:240, 100:300], [(100, 40), (300, 40), (300, 240), (100, 240)]),
    ],
    ids=["copy", "turned", "upside-down", "mirrored", "flipped", "transposed", "coarser", "halved", "crop"],
)
def test_find_overlaps_locates_transformed_copies(change, expected, others: list[Fingerprint]) -> None:
    image = ground(1, SIDE, SIDE)
    copy = np.ascontiguousarray(change(image))
    overlaps = find_overlaps([*others, *fingerprints({"image": image, "changed": jpeg(copy, 80)})])
    assert pairs(overlaps) == [("changed", "image")]
    overlap = overlaps[0]
    assert overlap.shared == pytest.approx(1, abs=0.02)
    back = np.linalg.inv(np.vstack([overlap.matrix, (0, 0, 1)]))[:2]
    assert corners(back, len(copy)) == pytest.approx(np.array(expected), abs=1.5)


@pytest.mark.slow
def test_mirrored_copy_with_odd_sides_is_not_shifted() -> None:
    image = ground(2, 1297, 1299)
    assert (reduction := fingerprint("image", image).reduction) > 1
    overlaps = find_overlaps(fingerprints({"a": image, "b": np.ascontiguousarray(image[:, ::-1])}))
    assert overlaps[0].score > 0.8
    assert corners(overlaps[0].matrix, 1299) == pytest.approx(
        np.array([(1299, 0), (0, 0), (0, 1299), (1299, 1299)]), abs=reduction
    )


@pytest.mark.slow
def test_overlaps_do_not_depend_on_the_order_of_scenes(others: list[Fingerprint]) -> None:
    whole = ground(3)
    scenes = [*others, *fingerprints({"a": whole[:SIDE, :SIDE], "b": whole[100 : 100 + SIDE, 50 : 50 + SIDE]})]
    once = find_overlaps(scenes)
    cv2.setRNGSeed(7)
    again = find_overlaps(scenes[::-1])
    assert pairs(once) == pairs(again) == [("a", "b")]
    assert once[0].score == again[0].score
    assert (once[0].matrix == again[0].matrix).all()


@pytest.mark.slow
def test_synthetic_scenes_do_not_overlap() -> None:
    scenes = [render_scene(0, index, SIDE)[0] for index in range(6)]
    assert find_overlaps(fingerprints({str(index): image for index, image in enumerate(scenes)})) == []


@pytest.mark.slow
def test_common_black_frame_is_not_shared_ground() -> None:
    """Rotated rasters all have the same black frame."""
    inside = np.zeros((SIDE, SIDE, 1), np.uint8)
    cv2.fillPoly(inside, [cv2.boxPoints(((SIDE / 2, SIDE / 2), (0.5 * SIDE, 0.5 * SIDE), 17)).astype(int)], 1)
    scenes = {str(seed): jpeg(ground(seed, SIDE, SIDE) * inside, 85) for seed in range(8)}
    assert find_overlaps(fingerprints(scenes)) == []
    scenes["copy"] = jpeg(scenes["3"], 60)
    assert pairs(find_overlaps(fingerprints(scenes))) == [("3", "copy")]


def test_common_caption_is_not_shared_ground() -> None:
    scenes = {str(seed): ground(seed, SIDE, SIDE) for seed in range(4)}
    for image in scenes.values():
        cv2.putText(image, "(c) survey 1:10000", (6, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (255, 255, 255), 2)
    assert find_overlaps(fingerprints(scenes)) == []


def test_scenes_without_texture_do_not_overlap() -> None:
    assert find_overlaps([]) == []
    blank = {str(level): np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 90, 255)}
    assert find_overlaps(fingerprints(blank)) == []
    tiny = {"a": ground(0, 2, 2), "b": ground(0, 2, 2)}
    assert find_overlaps(fingerprints(tiny)) == []
    assert find_overlaps(fingerprints({"alone": ground(0, SIDE, SIDE)})) == []


def test_footprints_overlap_if_their_areas_do() -> None:
    footprints = {
        "d": shapely.box(0, 0, 10, 10),
        "a": shapely.box(8, 0, 18, 10),
        "neighbour": shapely.box(18.001, 0, 28, 10),
        "rounded": shapely.box(0, 9.999, 10, 20),
        "inside": shapely.box(2, 2, 4, 4),
        "turned": shapely.Polygon([(40, 0), (45, 5), (40, 10), (35, 5)]),
        "in its bounds only": shapely.box(44, 9, 46, 11),
    }
    overlaps = overlaps_from_coordinates(footprints)
    assert [(overlap.first, overlap.second, overlap.shared) for overlap in overlaps] == [
        ("a", "d", pytest.approx(0.2)),
        ("d", "inside", pytest.approx(1)),
    ]
    assert overlaps[0].matrix is None
    assert overlaps_from_coordinates({}) == []


def test_connected_groups_include_indirect_overlaps_and_each_scene_once() -> None:
    overlaps = [Overlap("c", "a", 0.1), Overlap("c", "e", 0.1), Overlap("b", "f", 1.0), Overlap("a", "e", 0.1)]
    assert connected_groups(overlaps, "fedcba") == [["a", "c", "e"], ["b", "f"], ["d"]]
    assert connected_groups([], ["b", "a"]) == [["a"], ["b"]]
    assert connected_groups([], []) == []


def airbus_fingerprints(folder: Path, scene_ids: Sequence[str]) -> list[Fingerprint]:
    return [fingerprint(name, read_pixels(folder / "images" / f"{name}.jpg")) for name in scene_ids]


def check_known_pair(overlaps: list[Overlap]) -> None:
    assert pairs(overlaps) == [KNOWN_PAIR]
    assert overlaps[0].matrix[:, 2] == pytest.approx((256, -768), abs=0.5)
    assert overlaps[0].shared == pytest.approx(0.63, abs=0.001)
    assert overlaps[0].score > 0.98


@pytest.mark.slow
def test_the_known_pair_is_found(airbus: Path) -> None:
    some = sorted(path.stem for path in (airbus / "images").iterdir())[:4]
    check_known_pair(find_overlaps(airbus_fingerprints(airbus, sorted({*some, *KNOWN_PAIR}))))


@pytest.mark.slow
def test_the_known_pair_is_the_only_one(airbus: Path) -> None:
    scene_ids = sorted(path.stem for path in (airbus / "images").iterdir())
    assert len(scene_ids) == 78
    check_known_pair(find_overlaps(airbus_fingerprints(airbus, scene_ids)))


NORTH_UP = (2.0, 0.0, 595_000.0, 0.0, -2.0, 5_750_000.0)


def scene(name: str, georeference: Georeference | None) -> Scene:
    return Scene(name, Path(f"{name}.tif"), 100, 80, np.zeros((0, 4), np.float32), georeference)


def reprojected(crs: str, shift: float) -> Georeference:
    """Return the georeference, in ``crs``, of a scene ``shift`` metres east of :data:`NORTH_UP`."""
    east, north = np.array([(0, 0), (200, 0), (0, -160)]).T + np.array([[595_000 + shift], [5_750_000]])
    (x, right, low), (y, right_y, low_y) = transform("EPSG:32631", crs, east, north)
    sides = (right - x) / 100, (low - x) / 80, x, (right_y - y) / 100, (low_y - y) / 80, y
    return Georeference(crs, sides)


def test_footprints_are_in_longitude_and_latitude() -> None:
    area = footprints([scene("a", Georeference("EPSG:32631", NORTH_UP))])["a"]
    (x,), (y,) = transform("EPSG:32631", "OGC:CRS84", [595_100], [5_749_920])
    assert shapely.contains_xy(area, x, y)
    assert shapely.get_coordinates(area.centroid)[0] == pytest.approx((x, y), abs=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:32632", "EPSG:3857", "EPSG:4326"])
def test_footprints_overlap_across_coordinate_systems(crs: str) -> None:
    for shift, shared in ((0, [1.0]), (100, [0.5]), (190, [0.05]), (201, [])):
        scenes = [scene("a", Georeference("EPSG:32631", NORTH_UP)), scene("b", reprojected(crs, shift))]
        overlaps = overlaps_from_coordinates(footprints(scenes))
        assert [overlap.shared for overlap in overlaps] == pytest.approx(shared, abs=0.003)


def test_footprints_omit_scenes_without_position_on_earth() -> None:
    own = Georeference(None, (1.0, 0.0, 5.0, 0.0, 1.0, 5.0))
    lost = Georeference("EPSG:32631", (2.0, 0.0, float("inf"), 0.0, -2.0, 0.0))
    assert footprints([scene("a", None), scene("b", own), scene("c", own), scene("d", lost)]) == {}
