from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.planted_faults import plant
from oil_storage.audit.alignment import GradientField, SceneEvidence, examine, faults
from oil_storage.audit.alignment.box_error import BoxError
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.set_error import NATURAL_SIZE
from oil_storage.audit.alignment.verdict import SURE, Answer, judge_dataset, judge_scene
from oil_storage.audit.repair import fault_of
from tests.audit.alignment.discs import scene_of_discs

PLANTED = [
    *map(Fault, faults.DISCRETE),
    *(Fault(faults.SCALED, scale) for scale in [(0.5, 0.5), (0.97, 0.97), (2.0, 2.0)]),
    Fault(faults.SCALED, (1.25, 0.8)),
    *(Fault(faults.RESIZED, (size, size)) for size in (0.5, 1.35)),
    *(Fault(faults.SHIFTED, shift) for shift in [(3.0, -3.0), (0.0, 40.0)]),
]


@cache
def evidence(fault: Fault, seed: int) -> SceneEvidence:
    pixels, boxes = scene_of_discs(seed)
    if fault.kind == faults.ELSEWHERE:
        boxes = scene_of_discs(seed + 100)[1]
    height, width = pixels.shape[:2]
    return examine(f"scene_{seed}", GradientField.of(pixels), plant(fault, boxes, width, height))


def seeming(right: SceneEvidence, roundness: dict[Fault, float], settled: float = 1.0, **other: Any) -> SceneEvidence:
    """Return evidence with the given roundness after each fault is undone, and the given share of settled boxes."""
    return replace(right, roundness=roundness, settled=dict.fromkeys(roundness, settled), **other)


def test_correct_boxes_have_no_fault() -> None:
    for seed in range(3):
        verdict = judge_scene(evidence(Fault(), seed))
        assert verdict.answer == Answer.YES
        assert np.hypot(*verdict.shift) < 0.6


@pytest.mark.parametrize("fault", PLANTED, ids=str)
def test_planted_fault_is_detected(fault: Fault) -> None:
    verdict = judge_scene(evidence(fault, 0))
    assert verdict.answer == Answer.NO
    assert verdict.fault.kind == fault.kind
    tolerance = {faults.SCALED: {"rel": 0.01}, faults.RESIZED: {"rel": 0.12}, faults.SHIFTED: {"abs": 0.75}}
    assert verdict.fault.parameters == pytest.approx(fault.parameters, **tolerance.get(fault.kind, {}))


def test_boxes_of_another_image_have_an_unnamed_fault() -> None:
    for seed in range(2):
        verdict = judge_scene(evidence(Fault(faults.ELSEWHERE), seed))
        assert (verdict.answer, verdict.fault.kind) == (Answer.NO, faults.UNNAMED)


def test_scene_without_evidence_shares_the_verdict_on_the_data_set() -> None:
    pixels, boxes = scene_of_discs(9)
    for fault in (Fault(), Fault("transposed")):
        few = examine("few", GradientField.of(pixels), plant(fault, boxes[:1], 900, 700))
        right = evidence(Fault(), 0)
        verdict = judge_dataset([*(evidence(fault, seed) for seed in range(1, 4)), right, few])
        assert verdict.scenes["few"].answer == Answer.UNKNOWN
        assert verdict.is_fit("few") == (fault == Fault())
        assert verdict.is_fit("scene_0")


@pytest.mark.parametrize("magnification", [2, 5])
def test_large_objects_are_judged_like_small_ones(magnification: int) -> None:
    pixels, boxes = scene_of_discs(0, discs=20)
    boxes = boxes[(boxes[:, 2] - boxes[:, 0]) > 20]
    size = (900 * magnification, 700 * magnification)
    field = GradientField.of(cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC))
    side = float(np.median(boxes[:, 2:] - boxes[:, :2]))
    for fault in (Fault(), Fault("transposed"), Fault(faults.SHIFTED, (side / 3, 0.0))):
        written = plant(fault, boxes, 900, 700) * np.float32(magnification)
        verdict = judge_scene(examine("scene", field, written))
        assert verdict.fault.kind == fault.kind
        if fault.kind == faults.SHIFTED:
            assert verdict.fault.parameters == pytest.approx(
                (side / 3 * magnification, 0), abs=0.05 * side * magnification
            )


@pytest.mark.slow
def test_square_objects_are_not_a_fault() -> None:
    for seed in range(3):
        pixels, boxes = scene_of_discs(seed, square=True)
        for fault in (Fault(), Fault("transposed"), Fault(faults.SCALED, (0.8, 0.8))):
            verdict = judge_scene(examine("scene", GradientField.of(pixels), plant(fault, boxes, 900, 700)))
            assert verdict.answer != Answer.NO or verdict.fault.kind == fault.kind


@pytest.mark.parametrize("boxes", [0, 1, 4])
def test_few_boxes_are_not_enough_evidence(boxes: int) -> None:
    pixels, right = scene_of_discs(0)
    assert judge_scene(examine("scene", GradientField.of(pixels), right[:boxes])).answer == Answer.UNKNOWN


def test_misaligned_scenes_are_detected_among_correct_ones() -> None:
    scenes = [evidence(Fault("transposed") if seed == 2 else Fault(), seed) for seed in range(6)]
    verdict = judge_dataset(scenes)
    assert verdict.answer == Answer.YES
    wrong = {name: of_scene.fault.kind for name, of_scene in verdict.scenes.items() if of_scene.answer != Answer.YES}
    assert wrong == {"scene_2": "transposed"}


@pytest.mark.parametrize(
    "fault",
    [Fault("transposed"), Fault(faults.SCALED, (0.97, 0.97)), Fault(faults.SHIFTED, (2.0, 0.0)), Fault()],
    ids=str,
)
def test_fault_of_all_scenes_is_the_fault_of_the_data_set(fault: Fault) -> None:
    verdict = judge_dataset([evidence(fault, seed) for seed in range(5)])
    assert verdict.fault.kind == fault.kind
    assert verdict.answer == (Answer.YES if fault.kind == faults.NONE else Answer.NO)
    if fault.kind == faults.SHIFTED:
        assert verdict.fault.parameters == pytest.approx(fault.parameters, abs=0.5)
    if fault.kind == faults.SCALED:
        assert verdict.fault.parameters == pytest.approx(fault.parameters, rel=0.01)


@pytest.mark.parametrize(
    ("shifts", "answer"),
    [
        ([(1.8, 1.8)] * 5, Answer.NO),
        ([(1.8, 1.8)] * 4, Answer.YES),
        ([(0.0, 2.7), (2.7, 0.0), (1.9, 1.9), (-1.9, 1.9), (1.9, -1.9), (2.3, 1.5)], Answer.YES),
    ],
    ids=["alike", "few", "unlike"],
)
def test_small_shift_is_a_fault_if_enough_scenes_agree(shifts: list[tuple[float, float]], answer: Answer) -> None:
    scenes = [
        replace(evidence(Fault(), seed % 3), scene_id=str(seed), shift=shift) for seed, shift in enumerate(shifts)
    ]
    assert judge_dataset(scenes).answer == answer


def test_scene_with_another_drawing_habit_has_no_size_fault() -> None:
    drawn = replace(evidence(Fault(), 0), boxes=100, size=(1.1 * NATURAL_SIZE, 1.1 * NATURAL_SIZE))
    assert judge_dataset([drawn]).answer == Answer.YES


@pytest.mark.parametrize(("gain", "answer"), [(0.05, Answer.YES), (0.1, Answer.NO)])
def test_boxes_are_too_large_if_smaller_boxes_are_rounder(gain: float, answer: Answer) -> None:
    right = replace(evidence(Fault(), 0), boxes=100, size=(1.4 * NATURAL_SIZE, 1.4 * NATURAL_SIZE))
    changed = replace(right, fitted=right.roundness[Fault()] + gain)
    assert judge_scene(changed).answer == answer


@pytest.mark.parametrize("fault", [Fault(faults.RESIZED, (0.75, 0.75)), Fault(faults.SHIFTED, (6.0, 0.0))], ids=str)
@pytest.mark.parametrize(("fitted", "answer"), [(0.35, Answer.YES), (0.6, Answer.NO)])
def test_network_error_counts_if_fitted_boxes_are_round(fault: Fault, fitted: float, answer: Answer) -> None:
    right = replace(evidence(Fault(), 0), boxes=100, chance=(0.2, 0.1))
    size = (0.75 * NATURAL_SIZE, 0.75 * NATURAL_SIZE) if fault.kind == faults.RESIZED else right.size
    shift = (6.0, 0.0) if fault.kind == faults.SHIFTED else right.shift
    verdict = judge_scene(replace(right, size=size, shift=shift, fitted=fitted, roundness={Fault(): 0.5}))
    assert verdict.answer == answer
    assert verdict.fault.kind == (fault.kind if answer == Answer.NO else faults.NONE)


@pytest.mark.parametrize(("boxes", "answer"), [(12, Answer.YES), (100, Answer.NO)])
def test_few_boxes_need_a_clearer_shift(boxes: int, answer: Answer) -> None:
    right = evidence(Fault(), 0)
    roundness = {Fault(): 0.5, Fault(faults.SHIFTED, (9.0, 9.0)): 0.8}
    changed = seeming(right, roundness, boxes=boxes, chance=(0.2, 0.16), fitted=0.3)
    assert judge_scene(changed).answer == answer


@pytest.mark.parametrize(("fitted", "answer"), [(0.5, Answer.NO), (0.7, Answer.YES)])
def test_other_place_must_be_much_rounder_than_fitted_boxes(fitted: float, answer: Answer) -> None:
    right = evidence(Fault(), 0)
    roundness = {Fault(): 0.5, Fault(faults.SHIFTED, (9.0, 9.0)): 0.85}
    changed = seeming(right, roundness, boxes=100, chance=(0.2, 0.1), fitted=fitted)
    assert judge_scene(changed).answer == answer


@pytest.mark.parametrize(
    ("shift", "boxes", "answer"), [(4.0, 100, Answer.NO), (4.0, 8, Answer.YES), (2.5, 100, Answer.YES)]
)
def test_small_shift_of_one_scene_is_not_a_fault(shift: float, boxes: int, answer: Answer) -> None:
    right = replace(evidence(Fault(), 0), boxes=boxes, shift=(shift, 0.0))
    assert judge_scene(right).answer == answer


@pytest.mark.parametrize(("along", "kind"), [(10.0, "centre read as corner"), (14.0, faults.SHIFTED)])
def test_shift_by_half_a_side_is_a_corner_centre_fault(along: float, kind: str) -> None:
    roundness = {Fault(): 0.2, Fault("centre read as corner"): 0.5}
    changed = seeming(evidence(Fault(), 0), roundness, boxes=100, side=20.0, shift=(along, along), fitted=0.6)
    assert judge_scene(changed).fault.kind == kind


def test_boxes_without_area_are_not_enough_evidence() -> None:
    pixels, boxes = scene_of_discs(0)
    points = np.concatenate([boxes[:, :2], boxes[:, :2]], axis=1)
    assert judge_scene(examine("scene", GradientField.of(pixels), points)).answer == Answer.UNKNOWN
    roundness = {Fault(): 0.1, Fault("centre read as corner"): 0.9}
    assert judge_scene(seeming(evidence(Fault(), 0), roundness, side=0.0)).fault.kind == "centre read as corner"


def test_empty_data_set_is_not_enough_evidence() -> None:
    assert judge_dataset([]).answer == Answer.UNKNOWN


@pytest.mark.parametrize("size", [0.87, 1.15])
def test_size_limits_widen_for_few_boxes(size: float) -> None:
    drawn = replace(evidence(Fault(), 0), size=(size * NATURAL_SIZE, size * NATURAL_SIZE))
    drawn = replace(drawn, roundness={Fault(): 0.6}, fitted=0.9)
    assert judge_scene(replace(drawn, boxes=SURE)).fault.kind == faults.RESIZED
    assert judge_scene(replace(drawn, boxes=13)).answer == Answer.YES


def test_nearest_round_place_counts_if_network_sees_an_inner_rim(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 110, (700, 900, 3)).astype(np.uint8)
    centres = np.array([(x, y) for x in range(90, 900, 120) for y in range(90, 700, 120)], np.float32) + 0.5
    for x, y in centres.astype(int).tolist():
        cv2.circle(pixels, (x, y), 40, (220, 220, 220), -1)
    boxes = np.concatenate([centres - 41, centres + 41], axis=1)
    inner = BoxError((2.0, -2.0), (2.4, 2.4))  # a plain part of the roof
    monkeypatch.setattr("oil_storage.audit.alignment.evidence.WORKING_SIDE", 1000)
    monkeypatch.setattr("oil_storage.audit.alignment.evidence.common_error", lambda *_: inner)
    field = GradientField.of(pixels)
    doubled = examine("scene", field, plant(Fault(faults.RESIZED, (2.0, 2.0)), boxes, 900, 700))
    assert doubled.shift == pytest.approx((0, 0), abs=0.2)
    assert doubled.size == pytest.approx((2.04, 2.04), rel=0.02)
    nothing = examine("scene", field, plant(Fault(faults.SHIFTED, (60.0, 60.0)), boxes, 900, 700))
    assert (nothing.shift, nothing.size) == (inner.shift, inner.size)


def shifted(right: SceneEvidence, number: int, shift: tuple[float, float], side: float = 60.0) -> SceneEvidence:
    return replace(right, scene_id=f"scene_{number}", shift=shift, side=side)


def test_half_a_side_is_a_shift_if_other_scenes_have_the_same_shift() -> None:
    right = evidence(Fault(), 0)
    others = [shifted(right, number, (8.0, 8.5)) for number in range(4)]
    corner = Fault("centre read as corner")
    odd = shifted(right, 9, (8.0, 8.0), side=16.0)
    odd = seeming(odd, {Fault(): 0.2, corner: right.fitted - 0.05})
    assert judge_dataset([odd]).scenes["scene_9"].fault == corner
    verdict = judge_dataset([*others, odd])
    assert verdict.fault == Fault(faults.SHIFTED, (8.0, 8.5))
    assert verdict.scenes["scene_9"].fault == Fault(faults.SHIFTED, (8.0, 8.0))
    far = replace(odd, shift=(8.0, -8.0))
    assert judge_dataset([*others, far]).scenes["scene_9"].fault.kind != corner.kind


def test_different_shift_of_a_scene_is_undone_separately() -> None:
    right = evidence(Fault(), 0)
    verdict = judge_dataset([shifted(right, number, (8.0, 8.5)) for number in range(4)] + [shifted(right, 9, (0, 20))])
    assert fault_of("scene_0", verdict) == verdict.fault
    assert fault_of("scene_9", verdict) == Fault(faults.SHIFTED, (0, 20))


@pytest.mark.parametrize(
    ("planted", "statement"),
    [
        ([Fault(), Fault()], "yes"),
        ([Fault(), Fault("transposed"), Fault("mirrored top-bottom")], "not in 2 of 3 scenes"),
        ([Fault("transposed")] * 3, "no, transposed"),
        ([], "not enough evidence"),
    ],
)
def test_statement_describes_the_answer(planted: list[Fault], statement: str) -> None:
    verdict = judge_dataset([evidence(fault, seed) for seed, fault in enumerate(planted)])
    assert verdict.statement == statement
    assert (verdict.shift is not None) == (Fault() in planted)


@pytest.mark.parametrize(("settled", "answer"), [(1.0, Answer.NO), (0.8, Answer.NO), (0.7, Answer.UNKNOWN)])
def test_fault_requires_most_boxes_to_be_round(settled: float, answer: Answer) -> None:
    roundness = {Fault(): 0.2, Fault("transposed"): 0.6}
    changed = seeming(evidence(Fault(), 0), roundness, settled, chance=(0.2, 0.1), fitted=0.3)
    assert judge_scene(changed).answer == answer


@pytest.mark.parametrize(("settled", "answer"), [(1.0, Answer.NO), (0.8, Answer.UNKNOWN)])
def test_searched_fault_requires_more_roundness_if_not_all_boxes_are_round(settled: float, answer: Answer) -> None:
    roundness = {Fault(): 0.2, Fault(faults.SCALED, (0.8, 0.8)): 0.45}
    changed = seeming(evidence(Fault(), 0), roundness, settled, chance=(0.2, 0.1), fitted=0.25, fitted_settled=0.4)
    assert judge_scene(changed).answer == answer


def test_network_error_counts_if_individual_boxes_are_round() -> None:
    right = replace(evidence(Fault(), 0), size=(0.5, 0.5))
    assert judge_scene(right).fault.kind == faults.RESIZED
    assert judge_scene(replace(right, fitted_settled=0.5)).answer == Answer.YES


@pytest.mark.parametrize("wrong", [{"size": (0.9, 1.1)}, {"shift": (4.0, 4.0)}])
@pytest.mark.parametrize(("fitted", "answer"), [(0.7, Answer.NO), (0.5, Answer.YES)])
def test_boxes_that_are_rounder_as_written_are_correct(fitted: float, answer: Answer, wrong: dict[str, Any]) -> None:
    changed = seeming(evidence(Fault(), 0), {Fault(): 0.65}, fitted=fitted, **wrong)
    assert judge_scene(changed).answer == answer


@pytest.mark.parametrize(
    ("one", "other", "rounder"),
    [
        (Fault(faults.SHIFTED, (0.0, 12.0)), Fault(faults.SCALED, (1.0, 1.009)), 0.02),
        (Fault(faults.SCALED, (0.5, 0.5)), Fault(faults.SCALED, (0.499, 0.497)), 0.08),
    ],
)
def test_simpler_fault_is_preferred_if_two_explain_as_much(one: Fault, other: Fault, rounder: float) -> None:
    right = replace(evidence(Fault(), 0), chance=(0.2, 0.1), fitted=0.25, fitted_settled=0.4)
    assert judge_scene(seeming(right, {Fault(): 0.2, one: 0.7, other: 0.7 + rounder})).fault == one
    assert judge_scene(seeming(right, {Fault(): 0.2, one: 0.5, other: 0.7})).fault == other


@pytest.mark.parametrize(
    ("size", "shift", "kind"),
    [
        ((1.15, 1.15), (1.5, -1.5), faults.NONE),
        ((1.25, 1.0), (2.5, 0.0), faults.NONE),
        ((1.12, 1.06), (2.7, 0.6), faults.NONE),  # the shift is more than the growth explains
        ((1.25, 1.0), (0.0, 0.0), faults.RESIZED),
        ((1.0, 1.0), (4.0, 0.0), faults.SHIFTED),
        ((1.2, 1.2), (4.0, 4.0), faults.SHIFTED),
    ],
)
def test_boxes_that_grow_towards_one_side_are_a_habit(
    size: tuple[float, float], shift: tuple[float, float], kind: str
) -> None:
    measured = (size[0] * NATURAL_SIZE, size[1] * NATURAL_SIZE)
    right = replace(evidence(Fault(), 0), boxes=100, side=20.0, size=measured, shift=shift)
    assert judge_scene(right).fault.kind == kind


def test_few_boxes_do_not_excuse_a_severe_shift() -> None:
    right = replace(evidence(Fault(), 0), boxes=5, side=120.0, reduction=6)
    assert judge_scene(replace(right, shift=(22.0, 0.0))).answer == Answer.YES
    assert judge_scene(replace(right, shift=(40.0, 0.0))).fault.kind == faults.SHIFTED


@pytest.mark.parametrize(("scale", "is_fault"), [(0.983, False), (0.96, True)])
def test_scale_near_one_needs_as_much_evidence_as_a_shift(scale: float, is_fault: bool) -> None:
    roundness = {Fault(): 0.4, Fault(faults.SCALED, (scale, scale)): 0.57}
    changed = seeming(evidence(Fault(), 0), roundness, boxes=15, chance=(0.25, 0.19), fitted=0.38, fitted_settled=0.5)
    assert (judge_scene(changed).answer == Answer.NO) == is_fault


@pytest.mark.parametrize(("reduction", "answer"), [(1, Answer.NO), (3, Answer.YES)])
def test_large_tanks_have_wider_limits_if_most_scenes_have_large_tanks(reduction: int, answer: Answer) -> None:
    right = evidence(Fault(), 0)
    others = [replace(right, scene_id=f"other_{number}", reduction=reduction) for number in range(3)]
    large = replace(right, boxes=100, side=80.0, reduction=3, shift=(5.0, 5.0))
    assert judge_dataset([*others, large]).scenes["scene_0"].answer == answer
