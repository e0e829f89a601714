import numpy as np
import pytest

from benchmarks.planted_faults import plant
from oil_storage.audit.alignment import GradientField, faults
from oil_storage.audit.alignment.box_error import BoxError
from oil_storage.audit.alignment.evidence import (
    WORKING_SIDE,
    best_scale,
    best_scales,
    best_shift,
    roundest_near,
    working_reduction,
)
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.roundness import tightened
from tests.audit.alignment.discs import scene_of_discs


@pytest.mark.parametrize("corner", [4096, 250])
def test_best_scales_finds_both_scales_in_a_large_scene(monkeypatch: pytest.MonkeyPatch, corner: int) -> None:
    monkeypatch.setattr("oil_storage.audit.alignment.evidence.CORNER", corner)
    pixels, boxes = scene_of_discs(0, width=900, height=900, discs=120)
    written = boxes * np.float32([0.8, 1.1, 0.8, 1.1])
    estimate = best_scales(GradientField.of(pixels), written).parameters
    assert estimate == pytest.approx((0.8, 1.1), rel=3e-4)  # a quarter of a pixel at the far side


@pytest.mark.parametrize("scale", [0.5, 0.97, 2.0])
def test_best_scale_is_accurate_to_a_fraction_of_a_pixel(scale: float) -> None:
    pixels, boxes = scene_of_discs(0)
    estimate = best_scale(GradientField.of(pixels), boxes * np.float32(scale))
    assert estimate.parameters == pytest.approx((scale, scale), rel=3e-4)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (3.0, -2.0), (-20.0, 11.0), (0.0, 40.0)])
def test_best_shift_finds_the_shift(shift: tuple[float, float]) -> None:
    pixels, boxes = scene_of_discs(0)
    estimate = best_shift(GradientField.of(pixels), tightened(boxes + np.float32(shift * 2)))
    assert estimate.parameters == pytest.approx(shift, abs=0.5)


@pytest.mark.parametrize(("shift", "size"), [((0.0, 0.0), (1.0, 1.0)), ((4.0, -7.0), (1.5, 0.75))])
def test_roundest_near_finds_the_nearest_round_place(shift: tuple[float, float], size: tuple[float, float]) -> None:
    pixels, boxes = scene_of_discs(0)
    edges = tightened(boxes)
    centre, half = (edges[:, :2] + edges[:, 2:]) / 2 + shift, (edges[:, 2:] - edges[:, :2]) / 2 * size
    written = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    seen = BoxError((shift[0] + 1.5, shift[1] - 1.5), (size[0] * 1.12, size[1] * 1.12))
    estimate = roundest_near(GradientField.of(pixels), written, seen)
    assert estimate.shift == pytest.approx(shift, abs=0.2)
    assert estimate.size == pytest.approx(size, rel=0.03)
    np.testing.assert_allclose(estimate.undone(written), edges, atol=0.7)


@pytest.mark.parametrize("fault", [Fault(), *map(Fault, faults.FORMATS), Fault(faults.SCALED, (1.25, 0.8))], ids=str)
@pytest.mark.parametrize("magnification", [1, 5])
def test_working_reduction_depends_on_the_size_of_the_objects(fault: Fault, magnification: int) -> None:
    boxes = scene_of_discs(0)[1] * np.float32(magnification)
    reduction = working_reduction(plant(fault, boxes, 900, 700))
    side = np.median(boxes[:, 2:] - boxes[:, :2])
    assert WORKING_SIDE * 0.8 <= side / reduction <= WORKING_SIDE * 2
