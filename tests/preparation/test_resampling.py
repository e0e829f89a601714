from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from oil_storage.errors import UserError
from oil_storage.georeference import Georeference
from oil_storage.preparation.resampling import check_resolutions, resample, resized
from oil_storage.scene import Scene


def scene(
    crs: str | None = None, transform: Affine | None = None, size: tuple[int, int] = (400, 300), name: str = "a"
) -> Scene:
    georeference = Georeference(crs, tuple(transform)[:6]) if transform else None
    boxes = np.array([[0, 0, 10, 20], [100, 50, 130, 90], [380.5, 270, *size]], np.float32)
    return Scene(name, Path(f"{name}.tif"), *size, boxes, georeference)


def degrees(latitude: float, longitude: float = 4.1, step: float = 1e-5) -> Scene:
    return scene("EPSG:4326", Affine(step, 0, longitude - 200 * step, 0, -step, latitude + 150 * step))


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        (scene("EPSG:32631", Affine(1.2, 0, 500_000, 0, -1.5, 5_750_000)), (1.2, 1.5)),
        (
            scene("EPSG:32631", Affine.translation(500_000, 5_750_000) @ Affine.rotation(31) @ Affine.scale(0.5, -0.7)),
            (0.5, 0.7),
        ),
        # US survey feet, 0.3048 m
        (scene("EPSG:2263", Affine(10, 0, 1_000_000, 0, -10, 200_000)), (3.048, 3.048)),
        # Web Mercator doubles lengths at 60 degrees
        (scene("EPSG:3857", Affine(2, 0, 450_000, 0, -2, 8_399_738)), (1.0, 1.0)),
        # a degree is 111.320 km by 110.574 km (east by north) at the equator, and 55.800 km by 111.412 km at 60 degrees
        (degrees(0), (1.1132, 1.10574)),
        (degrees(60), (0.55800, 1.11412)),
        (degrees(60, longitude=180), (0.55800, 1.11412)),
        (scene(None, Affine(2, 0, 1000, 0, -2, 1000)), None),
        (scene(), None),
    ],
)
def test_resolution_is_in_metres_on_the_ground(example: Scene, expected: tuple[float, float] | None) -> None:
    assert example.resolution == (expected and pytest.approx(expected, rel=5e-3))
    if expected and "EPSG:4326" in str(example.georeference):
        assert example.resolution == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("target", [0.5, 1.2, 2.5])
def test_resample_keeps_the_ground_position_of_boxes(target: float) -> None:
    before = scene("EPSG:32631", Affine(1.0, 0, 500_000, 0, -1.6, 5_750_000))
    (after,), resolutions = resample([before], target, None)
    assert resolutions["a"] == pytest.approx((1.0, 1.6), rel=1e-3)
    assert (after.width, after.height) == pytest.approx((400 / target, 480 / target), abs=0.7)
    assert after.georeference is not None
    assert before.georeference is not None
    for corners in (slice(0, 2), slice(2, 4)):
        positions = after.georeference.to_world(after.boxes[:, corners].astype(float))
        assert np.allclose(positions, before.georeference.to_world(before.boxes[:, corners].astype(float)), atol=1e-3)
    assert after.boxes[:, 2:].max(axis=0).tolist() == [after.width, after.height]


def test_resample_keeps_a_scene_that_has_the_target_resolution() -> None:
    near = scene("EPSG:32631", Affine(1.2, 0, 400_000, 0, -1.2, 5_750_000))
    (after,), _ = resample([near], 1.205, None)
    assert after is near


def test_source_gsd_applies_to_scenes_without_georeference() -> None:
    placed = scene("EPSG:32631", Affine(1.2, 0, 500_000, 0, -1.2, 5_750_000), name="placed")
    after, resolutions = resample([scene(name="bare"), placed], 1.2, 0.6)
    assert [scene.width for scene in after] == [200, 400]
    assert resolutions["bare"] == (0.6, 0.6)
    with pytest.raises(UserError, match=r"bare\.tif: .* no known ground resolution; .*--source-gsd METRES"):
        resample([scene(name="bare"), placed], 1.2, None)


def georeferenced(gsd: float, name: str) -> Scene:
    return scene("EPSG:32631", Affine(gsd, 0, 500_000, 0, -gsd, 5_750_000), name=name)


def test_check_rejects_unknown_resolutions_among_known_ones() -> None:
    scenes = [scene(name="bare"), georeferenced(1.2, "a")]
    with pytest.raises(UserError, match=r"bare\.tif: .* no known .*but 1 images have one; give --source-gsd"):
        check_resolutions(scenes, None)
    assert check_resolutions(scenes, 1.2) == []
    assert check_resolutions(scenes[:1], None) == []


def test_check_warns_of_different_resolutions() -> None:
    similar, coarse = [georeferenced(gsd, str(gsd)) for gsd in (1.2, 1.5)], georeferenced(3.0, "coarse")
    assert check_resolutions(similar, None) == []
    (finding,) = check_resolutions([coarse, *similar], None)
    assert str(finding).startswith("warning: coarse.tif: 3")
    assert "1.2 m" in finding.problem


@pytest.mark.parametrize("stated", [1e-5, 1000])
def test_resample_rejects_implausible_resolutions(stated: float) -> None:
    with pytest.raises(UserError, match=r"a\.tif: .* with --gsd 1\.2"):
        resample([scene()], 1.2, stated)


@pytest.mark.parametrize("factor", [0.27, 0.5, 0.8, 1.7, 3.0])
def test_resampled_boxes_match_their_objects(factor: float) -> None:
    rng = np.random.default_rng(0)
    before = np.zeros((300, 400, 3), np.uint8)
    boxes = []
    for x, y in ((20, 30), (130, 40), (260, 170), (310, 20)):
        width, height = rng.integers(15, 60, 2)
        before[y : y + height, x : x + width] = 255
        boxes.append((x, y, x + width, y + height))
    scene = Scene("a", Path("a.tif"), 400, 300, np.array(boxes, np.float32))
    (after,), _ = resample([scene], 1.0, factor)
    pixels = resized(before, after.width, after.height)[..., 0].astype(float) / 255
    assert pixels.shape == (after.height, after.width)
    for x1, y1, x2, y2 in after.boxes:
        near = pixels[max(0, int(y1) - 4) : int(y2) + 5, max(0, int(x1) - 4) : int(x2) + 5]
        ys, xs = np.indices(near.shape)
        centre = (xs * near).sum() / near.sum() + 0.5, (ys * near).sum() / near.sum() + 0.5
        corner = max(0, int(x1) - 4), max(0, int(y1) - 4)
        assert np.hypot(centre[0] + corner[0] - (x1 + x2) / 2, centre[1] + corner[1] - (y1 + y2) / 2) < 0.25
        assert near.sum() == pytest.approx((x2 - x1) * (y2 - y1), rel=0.05)


def test_resized_does_not_alias() -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 200  # nearest-neighbour sampling would give 0 or 200
    shrunk = resized(stripes, 50, 50)[:, 5:-5]
    assert abs(shrunk.astype(int) - 100).max() <= 3
    assert resized(stripes, 200, 200) is stripes
