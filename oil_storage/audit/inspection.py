"""Audit a data set completely: its annotations and its pixels."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import Annotations, Record
from oil_storage.annotations.record import with_usual_spellings
from oil_storage.audit.alignment import GradientField, SceneEvidence, examine, faults
from oil_storage.audit.alignment.reexamination import reexamine
from oil_storage.audit.alignment.roundness import SUSPECT
from oil_storage.audit.alignment.verdict import FEWEST, NOTICED, Answer, DatasetVerdict, judge_dataset
from oil_storage.audit.common_faults import ALL_SCENES, NOT_CORNERS
from oil_storage.audit.fingerprint import Fingerprint, fingerprint
from oil_storage.audit.overlaps import Overlap, find_overlaps, footprints, overlaps_from_coordinates
from oil_storage.audit.records import MISALIGNED, audit
from oil_storage.errors import UserError
from oil_storage.findings import Finding, error, warning
from oil_storage.imagery import DEFAULT_READING, Reading, read_pixels
from oil_storage.parallel import in_processes
from oil_storage.scene import CLASS_NAME, Scene

MANY = 0.05
"""Fraction of suspect boxes above which a warning is issued. About 1 % of boxes drawn by hand are suspect."""
OUTERMOST = 1e9
"""Limit to which coordinates are clipped, in pixels, because the squares of larger coordinates overflow."""
SMALLEST = 192
"""Minimum side, in pixels, of scenes whose pictures are compared. Smaller scenes show too little ground."""
Boxes = NDArray[np.float32]


@dataclass(frozen=True)
class Suspect:
    """Box that seems to contain no round object.

    Attributes:
        scene_id: id of the scene.
        record: the box as written.
        roundness: result of :func:`~oil_storage.audit.alignment.roundness.roundness_nearby` for the box.
    """

    scene_id: str
    record: Record
    roundness: float


@dataclass(frozen=True)
class Inspected:
    """Result of :func:`inspect`.

    Attributes:
        scenes: scenes with usable images, including scenes with misplaced boxes.
        findings: findings about the annotations, then about the pixels.
        alignment: verdict on whether the boxes match the objects.
        same_ground: pairs of scenes that overlap.
        suspects: individual boxes for a person to check, least round first.
        written: ``(N, 4)`` boxes as written, by scene id.
        roundness: roundness of the box of each record exactly as written; 0 if it was not examined.
    """

    scenes: list[Scene]
    findings: list[Finding]
    alignment: DatasetVerdict
    same_ground: list[Overlap]
    suspects: list[Suspect]
    written: Mapping[str, Boxes]
    roundness: NDArray[np.float32]

    @property
    def reading(self) -> Reading:
        """Bands and stretch with which the images are read."""
        return self.scenes[0].reading if self.scenes else DEFAULT_READING

    @property
    def fit(self) -> list[Scene]:
        """Scenes without a detected fault of their boxes; see :meth:`DatasetVerdict.is_fit`."""
        return [scene for scene in self.scenes if self.alignment.is_fit(scene.scene_id)]


def inspect(
    annotations: Annotations, class_map: Mapping[str, str | None], reading: Reading = DEFAULT_READING
) -> Inspected:
    """Audit annotations and pixels; see :func:`~oil_storage.audit.records.audit` for the arguments and errors."""
    scenes, findings = audit(annotations, class_map, reading)
    class_map = with_usual_spellings(class_map, {record.class_name for record in annotations.records})
    indices = _records_by_scene(annotations, class_map)
    records = {name: [annotations.records[index] for index in of_scene] for name, of_scene in indices.items()}
    written = {
        name: np.array([record.box for record in of_scene], np.float32).reshape(-1, 4).clip(-OUTERMOST, OUTERMOST)
        for name, of_scene in records.items()
    }
    jobs = [(scene, written.get(scene.scene_id, np.zeros((0, 4), np.float32))) for scene in scenes]
    readable, evidence, fingerprints = [], [], []
    for scene, result in zip(scenes, in_processes(_examine, jobs, "examining scenes", "scene"), strict=True):
        if isinstance(result, str):
            findings.append(error("damaged-image", str(scene.image), result, "left out"))
            continue
        readable.append(scene)
        evidence.append(result[0])
        fingerprints += [result[1]] if result[1] else []
    scenes = readable
    alignment = _reexamined(judge_dataset(evidence), evidence, scenes, written)
    if alignment.answer == Answer.NO:  # this verdict replaces the guess from the coordinates alone
        findings = [finding for finding in findings if finding.check != NOT_CORNERS]
    findings += _misaligned(alignment, scenes)
    suspects = _suspects(alignment, evidence, records)
    boxes = sum(len(scene.single) for scene in evidence)
    if len(suspects) > max(MANY * boxes, FEWEST):
        problem = f"{len(suspects)} of {boxes} boxes ({len(suspects) / boxes:.0%}) have no round object"
        findings.append(warning("suspects", ALL_SCENES, problem, "kept; --report shows the least round"))
    overlaps, unknown = _same_ground(scenes, fingerprints)
    roundness = np.zeros(len(annotations.records), np.float32)
    for of_scene in evidence:
        roundness[indices.get(of_scene.scene_id, [])] = of_scene.own
    return Inspected(scenes, findings + unknown, alignment, overlaps, suspects, written, roundness)


def _examine(job: tuple[Scene, Boxes]) -> str | tuple[SceneEvidence, Fingerprint | None]:
    """Return the evidence and the fingerprint of a scene, or the reason why its pixels cannot be decoded."""
    scene, boxes = job
    try:
        pixels = read_pixels(scene.image, scene.reading)
    except UserError as reason:
        return str(reason).removeprefix(f"{scene.image}: ")
    evidence = examine(scene.scene_id, GradientField.of(pixels), boxes)
    return evidence, fingerprint(scene.scene_id, pixels) if min(pixels.shape[:2]) >= SMALLEST else None


def _same_ground(scenes: list[Scene], fingerprints: list[Fingerprint]) -> tuple[list[Overlap], list[Finding]]:
    """Return the pairs that overlap, and a warning about scenes without coordinates that are too small to compare."""
    areas = footprints(scenes)
    overlaps = [*overlaps_from_coordinates(areas), *find_overlaps(fingerprints)]
    pairs = {(overlap.first, overlap.second): overlap for overlap in overlaps}
    compared = {*areas, *(scene.scene_id for scene in fingerprints)}
    unknown = [str(scene.image) for scene in scenes if scene.scene_id not in compared]
    same_ground = [pairs[pair] for pair in sorted(pairs)]
    if not unknown or len(scenes) == 1:
        return same_ground, []
    others = f" (one of {len(unknown)} such images)" if len(unknown) > 1 else ""
    problem = f"a side is shorter than {SMALLEST} px, too small to compare the pixels with other scenes{others}"
    action = "kept; use --split-file to put scenes that show the same ground in one split"
    return same_ground, [warning("same-ground-unknown", unknown[0], problem, action)]


def _records_by_scene(annotations: Annotations, class_map: Mapping[str, str | None]) -> dict[str, list[int]]:
    """Group the indices of the records of tanks with finite coordinates by scene id."""
    scene_ids = {image.name: image.path.stem for image in annotations.images if image.path}
    by_scene: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(annotations.records):
        if class_map.get(record.class_name) == CLASS_NAME and np.isfinite(np.array(record.box, np.float32)).all():
            by_scene[scene_ids.get(record.image, "")].append(index)
    return by_scene


def _reexamined(
    alignment: DatasetVerdict, evidence: list[SceneEvidence], scenes: list[Scene], written: Mapping[str, Boxes]
) -> DatasetVerdict:
    """Name the faults of more scenes: try their boxes on other images, and the scale faults of other scenes."""
    verdicts = alignment.scenes
    enough = [scene.scene_id for scene in evidence if scene.boxes >= FEWEST]
    unnamed = [
        name
        for name in enough
        if verdicts[name].answer == Answer.UNKNOWN or verdicts[name].fault.kind == faults.UNNAMED
    ]
    scales = {verdict.fault for verdict in verdicts.values() if verdict.fault.kind == faults.SCALED}
    by_id = {scene.scene_id: scene for scene in scenes}
    found = reexamine(by_id, {name: written[name] for name in unnamed}, sorted(scales, key=str)[:5])
    named = {name: replace(verdicts[name], answer=Answer.NO, fault=fault) for name, fault in found.items()}
    return replace(alignment, scenes={**verdicts, **named})


def _misaligned(alignment: DatasetVerdict, scenes: list[Scene]) -> list[Finding]:
    findings = []
    common, shift = alignment.fault, alignment.error
    if common.kind != faults.NONE:
        problem = f"boxes do not match the objects in most scenes: {common}"
        findings.append(error(MISALIGNED, ALL_SCENES, problem, "repair them with --fix OUT"))
    elif shift and shift.sure_loss > NOTICED:
        findings.append(warning("shifted", ALL_SCENES, f"boxes have a {shift}", "kept"))
    for scene in scenes:
        verdict = alignment.scenes[scene.scene_id]
        if verdict.answer == Answer.NO and verdict.fault.kind != common.kind:
            problem = f"boxes do not match the objects: {verdict.fault}"
            findings.append(error(MISALIGNED, str(scene.image), problem, "unfit for training; try --fix"))
        elif verdict.answer == Answer.UNKNOWN and len(scene.boxes):
            problem = "not enough evidence whether the boxes match the objects"
            action = "kept" if alignment.is_fit(scene.scene_id) else "unfit for training, like most scenes"
            findings.append(warning("alignment-unknown", str(scene.image), problem, action))
    return findings


def _suspects(
    alignment: DatasetVerdict, evidence: list[SceneEvidence], records: Mapping[str, list[Record]]
) -> list[Suspect]:
    """List the boxes without a round object, least round first, in scenes whose boxes match as a whole."""
    suspects = [
        Suspect(scene.scene_id, record, float(roundness))
        for scene in evidence
        if alignment.scenes[scene.scene_id].answer == Answer.YES
        for record, roundness in zip(records.get(scene.scene_id, []), scene.single, strict=True)
        if roundness < SUSPECT
    ]
    return sorted(suspects, key=lambda suspect: suspect.roundness)
