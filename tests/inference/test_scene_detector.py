import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from rasterio.transform import from_origin
from torch import nn

from oil_storage.checkpoints.checkpoint import store_accuracy
from oil_storage.cli.export import main as export
from oil_storage.cli.test import main as score
from oil_storage.cli.train import main as train
from oil_storage.errors import UserError
from oil_storage.imagery import Reading, SceneImage, read_pixels
from oil_storage.inference import SceneDetector, scene_detector
from oil_storage.inference.torch_detector import fuse_batch_norms
from oil_storage.merging import Detections
from tests.small_detectors import with_statistics
from tests.test_imagery import noise, write_raster
from tests.tiny_training import write_config, write_data

GRID = {"tile": 64, "overlap": 16}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Train and test on val; return the config, the checkpoint and the folder of raw scenes."""
    folder = tmp_path_factory.mktemp("detector")
    config = write_config(folder, write_data(folder))
    work = folder / "work"
    assert train([str(config), "--work-dir", str(work)]) == 0
    checkpoint = work / "iter_8.pth"
    assert score([str(config), str(checkpoint), "--split", "val", "--work-dir", str(work)]) == 0
    return config, checkpoint, folder / "raw"


def scored(checkpoint: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the name of a val scene, and the boxes and scores that tools/test.py detected in it."""
    content = json.loads((checkpoint.parent / "val" / "detections.json").read_text())
    image = content["images"][0]
    annotations = [entry for entry in content["annotations"] if entry["image_id"] == image["id"]]
    boxes = np.array([annotation["bbox"] for annotation in annotations])
    boxes[:, 2:] += boxes[:, :2]
    return image["file_name"], boxes, np.array([annotation["score"] for annotation in annotations])


def test_detector_finds_the_same_boxes_as_the_test_tool(trained: tuple[Path, Path, Path]) -> None:
    config, checkpoint, raw = trained
    name, boxes, scores = scored(checkpoint)
    (path,) = raw.glob(f"images/{name}.*")
    assert len(boxes) > 20
    exact = SceneDetector(config, checkpoint, score_thr=0, fast=False, **GRID)
    for source in (str(path), path, read_pixels(path)):
        detected = exact.detect(source)
        assert (detected.width, detected.height) == (128, 128)
        np.testing.assert_allclose(detected.boxes, boxes, atol=1e-3)
        np.testing.assert_allclose(detected.scores, scores, atol=1e-6)
    fast = SceneDetector(config, checkpoint, score_thr=0, **GRID).detect(path)
    assert len(fast.boxes) == pytest.approx(len(boxes), abs=1)  # one pair is close to the merging threshold
    np.testing.assert_allclose(fast.scores[:20], scores[:20], atol=1e-4)


def test_detections_do_not_change_when_low_scores_are_dropped_early(trained: tuple[Path, Path, Path]) -> None:
    config, checkpoint, raw = trained
    name, _, scores = scored(checkpoint)
    (path,) = raw.glob(f"images/{name}.*")
    threshold = float(np.quantile(scores, 0.8))
    exact, fast = (SceneDetector(config, checkpoint, score_thr=threshold, fast=mode, **GRID) for mode in (False, True))
    assert exact.detector.rules.score_thr < fast.detector.rules.score_thr == threshold / 2
    expected, detected = exact.detect(path), fast.detect(path)
    assert 10 < len(expected.scores) < len(scores)
    assert len(detected.scores) == pytest.approx(len(expected.scores), abs=1)
    np.testing.assert_allclose(detected.scores[:10], expected.scores[:10], atol=1e-4)
    np.testing.assert_allclose(detected.boxes[:10], expected.boxes[:10], atol=1e-2)


def test_a_scene_that_cannot_be_read_again_does_not_stop_the_others(
    trained: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, checkpoint, raw = trained
    paths = sorted((raw / "images").iterdir())[:2]
    real = scene_detector.look_again

    def failing_once(image: SceneImage, *arguments: Any) -> Detections:
        if image.file_name == paths[0].name:
            raise UserError("the connection was lost")
        return real(image, *arguments)

    monkeypatch.setattr(scene_detector, "look_again", failing_once)
    (_, first), (_, second) = SceneDetector(config, checkpoint, score_thr=0.5, **GRID).detect_all(paths)
    assert str(first) == "the connection was lost"
    assert not isinstance(second, UserError)


@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True])
def test_tta_gives_the_same_detections_as_the_test_tool(
    trained: tuple[Path, Path, Path], tmp_path: Path, own: bool
) -> None:
    config, checkpoint, raw = trained
    if own:  # two magnifications
        views = Config.fromfile("configs/oil/ssd_lite0_x15.py").to_dict()["tta_pipeline"]
        content = f"_base_ = [{str(config)!r}]\ntta_pipeline = {views!r}\n"
        config = tmp_path / config.name
        config.write_text(content)
    flags = ["--split", "val", "--tta", "--work-dir", str(tmp_path)]
    assert score([str(config), str(checkpoint), *flags]) == 0
    name, boxes, scores = scored(tmp_path / checkpoint.name)
    (path,) = raw.glob(f"images/{name}.*")
    plain, flipped = (SceneDetector(config, checkpoint, score_thr=0, fast=False, tta=tta, **GRID) for tta in (0, 1))
    detected = flipped.detect(path)
    np.testing.assert_allclose(detected.boxes, boxes, atol=1e-3)
    np.testing.assert_allclose(detected.scores, scores, atol=1e-6)
    assert not np.array_equal(detected.scores, plain.detect(path).scores)
    meta = torch.load(checkpoint, weights_only=False)["meta"]
    if own:  # the checkpoint was trained with another config, so its threshold does not change
        assert SceneDetector(config, checkpoint, tta=True, **GRID).threshold == meta["score_threshold_tta"]["threshold"]
    else:
        chosen = json.loads((tmp_path / "val" / "metrics.json").read_text())["scenes"]["threshold"]
        assert meta["score_threshold_tta"]["threshold"] == chosen


def test_magnified_scene_gives_the_boxes_of_an_enlarged_image(trained: tuple[Path, Path, Path]) -> None:
    config, checkpoint, raw = trained
    pixels = read_pixels(next((raw / "images").iterdir()))
    large = np.asarray(cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_LINEAR))
    before = SceneDetector(config, checkpoint, score_thr=0, tile=256, overlap=0).detect(large)
    detected = SceneDetector(config, checkpoint, score_thr=0, tile=256, overlap=0, scale=2).detect(pixels)
    assert (detected.width, detected.height) == (128, 128)
    np.testing.assert_allclose(detected.boxes, before.boxes / 2, atol=1e-3)
    np.testing.assert_allclose(detected.scores, before.scores, atol=1e-6)
    tiled = SceneDetector(config, checkpoint, score_thr=0, scale=1.5, **GRID).detect(pixels)
    assert tiled.boxes.max() <= 128


def test_finer_geotiff_gives_the_boxes_of_the_scene_at_the_resolution_of_the_training(
    trained: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    config, checkpoint, raw = trained
    pixels = read_pixels(next((raw / "images").iterdir()))
    fine = tmp_path / "fine.tif"
    enlarged = pixels.repeat(4, axis=0).repeat(4, axis=1)
    write_raster(fine, enlarged.transpose(2, 0, 1), transform=from_origin(500_000, 5_700_000, 0.3, 0.3))
    before = SceneDetector(config, checkpoint, score_thr=0, **GRID).detect(pixels)
    detector = SceneDetector(config, checkpoint, score_thr=0, gsd=1.2, **GRID)
    detected = detector.detect(fine)
    assert detected.magnification.zoom == pytest.approx((0.25, 0.25), rel=1e-3)
    assert len(detected.boxes) == pytest.approx(len(before.boxes), rel=0.02)
    np.testing.assert_allclose(detected.boxes[:20], before.boxes[:20] * 4, atol=0.2)
    stated = SceneDetector(config, checkpoint, score_thr=0, gsd=1.2, source_gsd=0.3, **GRID).detect(read_pixels(fine))
    np.testing.assert_allclose(stated.boxes[:20], detected.boxes[:20], atol=0.2)
    assert stated.unit == "m"
    store_accuracy(checkpoint, {"1.2": 0.9})
    assert "F1 is 0.90 at 1.2 m" in str(
        SceneDetector(config, checkpoint, gsd=1.2, **GRID).detect(fine).magnification.warning
    )
    assert SceneDetector(config, checkpoint, scale=0.25, **GRID).detect(fine).magnification.warning is None
    store_accuracy(checkpoint, {})


def test_scene_without_evidence_for_a_resolution_is_not_searched(trained: tuple[Path, Path, Path]) -> None:
    config, checkpoint, _ = trained
    blank = np.full((128, 128, 3), 90, np.uint8)
    detected = SceneDetector(config, checkpoint, score_thr=0.99, gsd=1.2, **GRID).detect(blank)
    assert not detected.magnification.is_searched
    assert len(detected.boxes) == 0
    assert "no tanks reported" in str(detected.magnification.warning)
    assert SceneDetector(config, checkpoint, score_thr=0.99, scale=1, **GRID).detect(blank).magnification.is_searched


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [0.1, 0.3, 8.0])
def test_extreme_magnification_gives_valid_boxes_without_warnings(
    trained: tuple[Path, Path, Path], scale: float
) -> None:
    config, checkpoint, raw = trained
    pixels = read_pixels(next((raw / "images").iterdir()))[:96, :64]
    boxes = SceneDetector(config, checkpoint, score_thr=0.2, scale=scale, **GRID).detect(pixels).boxes
    assert (boxes[:, 2:] > boxes[:, :2]).all()


@pytest.mark.parametrize(("threads", "tiles"), [(1, 1), (4, 2), (100, 3)])
def test_batch_size_on_cpu_is_one_tile_per_two_cores(
    trained: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, threads: int, tiles: int
) -> None:
    config, checkpoint, _ = trained
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    cfg = Config.fromfile(config)
    cfg.test_dataloader.batch_size = 3
    assert SceneDetector(cfg, checkpoint, score_thr=0, **GRID).reader.batch_size == tiles
    assert SceneDetector(cfg, checkpoint, score_thr=0, batch_size=5, **GRID).reader.batch_size == 5


def test_detector_applies_the_threshold_of_the_checkpoint(trained: tuple[Path, Path, Path]) -> None:
    config, checkpoint, raw = trained
    path = next((raw / "images").iterdir())
    detector = SceneDetector(config, checkpoint, **GRID)
    assert detector.threshold == pytest.approx(
        json.loads((checkpoint.parent / "val" / "metrics.json").read_text())["scenes"]["threshold"]
    )
    assert (detector.detect(path).scores >= detector.threshold).all()


def test_unreadable_scenes_give_errors_and_the_others_detections(
    trained: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    config, checkpoint, raw = trained
    good = sorted((raw / "images").iterdir())[:2]
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good[0].read_bytes()[:-200])
    text = tmp_path / "text.png"
    text.write_text("no image")
    detector = SceneDetector(config, checkpoint, **GRID)
    detected = dict(detector.detect_all([good[0], cut, text, tmp_path / "none.tif", good[1]]))
    assert [isinstance(result, UserError) for result in detected.values()] == [False, True, True, True, False]
    assert [str(error).partition(": ")[0] for error in detected.values() if isinstance(error, UserError)] == [
        str(path) for path in (cut, text, tmp_path / "none.tif")
    ]
    with pytest.raises(UserError, match=r"cut\.jpg: cannot be decoded"):
        detector.detect(cut)


@pytest.mark.slow
def test_partly_damaged_scene_gives_an_error_and_the_next_all_its_detections(
    trained: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    config, checkpoint, raw = trained
    cut = write_raster(tmp_path / "cut.tif", noise(3, 400, 500))
    cut.write_bytes(cut.read_bytes()[:300_000])
    good = next((raw / "images").iterdir())
    detector = SceneDetector(config, checkpoint, **GRID)
    (_, broken), (_, whole) = detector.detect_all([cut, good])
    assert isinstance(broken, UserError)
    assert "cut.tif: cannot be decoded" in str(broken)
    assert not isinstance(whole, UserError)
    assert np.array_equal(whole.boxes, detector.detect(good).boxes)


def test_boxes_lie_inside_scenes_of_any_size(trained: tuple[Path, Path, Path]) -> None:
    config, checkpoint, _ = trained
    detector = SceneDetector(config, checkpoint, score_thr=0, **GRID)
    for shape in ((1, 300), (300, 1), (1, 1), (20, 30), (64, 64), (65, 200)):
        detections = detector.detect(np.full((*shape, 3), 90, np.uint8))
        assert (detections.height, detections.width) == shape
        assert (detections.boxes >= 0).all()
        assert (detections.boxes[:, 2:] <= [shape[1], shape[0]]).all()


def test_detector_refuses_arguments_that_do_not_fit(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    config, checkpoint, _ = trained
    bare = tmp_path / "bare.pth"
    content = torch.load(checkpoint, weights_only=False)
    del content["meta"]["score_threshold"]
    torch.save(content, bare)
    other = Config.fromfile(config)
    other.model.neck.out_channels = other.model.bbox_head.in_channels = 8
    for arguments, message in (
        ((config, tmp_path / "none.pth"), "none.pth: no such checkpoint"),
        ((config, bare), "has no score threshold; give --score-thr"),
        ((other, checkpoint), "belongs to another model: "),
    ):
        with pytest.raises(UserError, match=message):
            SceneDetector(*arguments, **GRID)
    with pytest.raises(UserError, match="--overlap 64: must be 0 to 63"):
        SceneDetector(config, checkpoint, tile=64, overlap=64)
    with pytest.raises(UserError, match=r"array of shape \(4, 4\) and type float64"):
        SceneDetector(config, checkpoint, **GRID).detect(np.zeros((4, 4)))


@pytest.mark.slow
def test_bands_and_stretch_are_stored_with_the_weights(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    config, checkpoint, _ = trained
    content = torch.load(checkpoint, weights_only=True)
    assert content["meta"]["trained"]["reading"] == {"bands": None, "stretch": None}
    content["meta"]["trained"]["reading"] = {"bands": (5, 3, 2), "stretch": (1.0, 99.0)}
    torch.save(content, tmp_path / "a.pth")
    for kind in ("safetensors", "onnx"):
        out = ["--to", kind, "--out", str(tmp_path / f"a.{kind}")]
        assert export([str(config), str(tmp_path / "a.pth"), *out]) == 0
    for name in ("a.pth", "a.safetensors", "a.onnx"):
        backend = "onnx" if name == "a.onnx" else "torch"
        detector = SceneDetector(config, tmp_path / name, backend=backend, **GRID)
        assert detector.reader.reading == Reading((5, 3, 2), (1.0, 99.0))
    detector = SceneDetector(config, tmp_path / "a.pth", bands=(3, 2, 1), **GRID)
    assert detector.reader.reading == Reading((3, 2, 1), (1.0, 99.0))


def test_batch_norms_that_share_a_convolution_get_copies_of_it() -> None:
    shared = nn.Conv2d(3, 4, 1)
    model = with_statistics(
        nn.ModuleList([nn.Sequential(shared, nn.BatchNorm2d(4)), nn.Sequential(shared, nn.BatchNorm2d(4)), shared])
    )
    pixels = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        before = [branch(pixels) for branch in model]
        assert fuse_batch_norms(model) == 2
        torch.testing.assert_close([branch(pixels) for branch in model], before)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
