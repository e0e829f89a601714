import numpy as np
import pytest

from oil_storage.synthetic.canvas import Canvas, draw_climate, expose
from oil_storage.synthetic.geometry import circle


@pytest.fixture(params=range(4))
def exposed(request):
    """Return a canvas with one bright disc of radius 12 px at (50.3, 70.8), and its image."""
    canvas = Canvas(128, draw_climate(np.random.default_rng(request.param)))
    canvas.albedo[:] = 70
    canvas.polygon(circle(np.array([50.3, 70.8]), 12.0), (170.0, 170.0, 170.0), grain=0)
    return canvas, expose(canvas, np.random.default_rng(request.param)).astype(float)


def test_expose_does_not_move_objects(exposed):
    _, image = exposed
    grey = image.mean(axis=2)
    window = grey[48:94, 28:73]
    bright = np.clip(window - np.median(grey), 0, None)
    bright[bright < 0.35 * bright.max()] = 0
    y, x = np.indices(bright.shape)
    centre = np.array([(x * bright).sum(), (y * bright).sum()]) / bright.sum() + [28.5, 48.5]
    assert centre == pytest.approx([50.3, 70.8], abs=0.3)


def test_edges_are_blurred_and_flat_ground_is_noisy(exposed):
    canvas, image = exposed
    painted = np.abs(np.diff(canvas.albedo[70, :, 0].astype(float))).max() / 100
    flat, disc = image[:30, 90:].mean(axis=2), image[66:76, 46:56].mean()
    seen = np.abs(np.diff(image[70].mean(axis=1))).max() / (disc - flat.mean())
    assert seen < 0.8 * painted
    assert 0.4 < flat.std() < 12


def test_shadows_are_dark():
    canvas = Canvas(128, draw_climate(np.random.default_rng(0)))
    canvas.albedo[:] = 150
    canvas.shadow[:, 64:] = 255
    image = expose(canvas, np.random.default_rng(0)).astype(float)
    assert image[:, 70:].mean() < 0.6 * image[:, :58].mean()
