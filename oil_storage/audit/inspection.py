"""The whole audit of a source: what the annotations say, and what the pixels say of them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oil_storage.annotations import Annotations, Record
from oil_storage.audit.alignment import GradientField, SceneEvidence, examine, faults
from oil_storage.audit.alignment.roundness import SUSPECT
from oil_storage.audit.alignment.verdict import FEWEST, Answer, DatasetVerdict, Verdict, judge_dataset, reexamine
from oil_storage.audit.fingerprint import SceneFingerprint, fingerprint
from oil_storage.audit.footprints import footprints
from oil_storage.audit.records import MISALIGNED, NOT_CORNERS, audit
from oil_storage.audit.same_ground import Overlap, find_same_ground, from_coordinates
from oil_storage.errors import UserError
from oil_storage.findings import Finding, Severity
from oil_storage.imagery import DEFAULT_READING, Reading, read_pixels
from oil_storage.parallel import in_processes
from oil_storage.scene import CLASS_NAME, Scene

MANY = 0.05
"""Share of suspects from which something happened to boxes that no fault of whole scenes explains; by hand, 1 %."""
OUTERMOST = 1e9
"""Pixels: boxes that reach farther are looked at as if they ended there, or their squares would overflow."""
SMALLEST = 192
"""Pixels: pictures of scenes with a shorter side show too little ground to be told from others."""
Boxes = NDArray[np.float32]
Job = tuple[Scene, Boxes]


@dataclass(frozen=True)
class Suspect:
    """A box that sits on nothing that is round.

    Attributes:
        scene_id: of the scene.
        record: the box as written.
        roundness: see :func:`~oil_storage.audit.alignment.roundness.roundness_nearby`.
    """

    scene_id: str
    record: Record
    roundness: float


@dataclass(frozen=True)
class Inspected:
    """All that is known of a source.

    Attributes:
        scenes: those whose images can be used, sorted by id; misplaced boxes are in them.
        findings: of the annotations, then of the pixels.
        alignment: do the boxes sit on the objects?
        same_ground: pairs of scenes that overlap.
        suspects: single boxes for a person to judge, the least round first.
        written: ``(N, 4)`` boxes of each scene as written, by scene id.
    """

    scenes: list[Scene]
    findings: list[Finding]
    alignment: DatasetVerdict
    same_ground: list[Overlap]
    suspects: list[Suspect]
    written: Mapping[str, Boxes]

    @property
    def reading(self) -> Reading:
        """Bands and stretch by which the images are read."""
        return self.scenes[0].reading if self.scenes else DEFAULT_READING

    @property
    def fit(self) -> list[Scene]:
        """Scenes that nothing speaks against."""
        if self.alignment.answer == Answer.NO:
            return []
        return [scene for scene in self.scenes if self.alignment.scenes[scene.scene_id].answer != Answer.NO]


@dataclass(frozen=True)
class _Seen:
    """What the pixels of one scene gave; nothing where they cannot be decoded, and why."""

    problem: str | None
    evidence: SceneEvidence | None = None
    fingerprint: SceneFingerprint | None = None


def inspect(
    annotations: Annotations, class_map: Mapping[str, str | None], reading: Reading = DEFAULT_READING
) -> Inspected:
    """Audit annotations and images.

    Args:
        annotations: as read.
        class_map: see :func:`~oil_storage.audit.records.audit`.
        reading: how the bands of the images become colours.

    Returns:
        Inspected: see there.

    Raises:
        UserError: see :func:`~oil_storage.audit.records.audit`.
    """
    scenes, findings = audit(annotations, class_map, reading)
    records = _records_by_scene(annotations, class_map)
    written = {
        name: np.array([one.box for one in of], np.float32).reshape(-1, 4).clip(-OUTERMOST, OUTERMOST)
        for name, of in records.items()
    }
    nothing = np.zeros((0, 4), np.float32)
    jobs: list[Job] = [(one, written.get(one.scene_id, nothing)) for one in scenes]
    looks = in_processes(_look, jobs, "looking at scenes", "scene")
    seen = {scene.scene_id: found for scene, found in zip(scenes, looks, strict=True)}
    for scene in scenes:
        if problem := seen[scene.scene_id].problem:
            findings.append(Finding(Severity.ERROR, "damaged-image", str(scene.image), problem, "left out"))
    scenes = [scene for scene in scenes if not seen[scene.scene_id].problem]
    evidence = [found for scene in scenes if (found := seen[scene.scene_id].evidence)]
    alignment = _second_opinion(judge_dataset(evidence), evidence, scenes, written)
    if alignment.answer == Answer.NO:  # the pixels name the fault, the numbers need not guess at it
        findings = [finding for finding in findings if finding.check != NOT_CORNERS]
    findings += _misaligned(alignment, scenes)
    suspects = _suspects(alignment, evidence, records)
    findings += _too_many(suspects, sum(len(one.single) for one in evidence))
    marks = [mark for scene in scenes if (mark := seen[scene.scene_id].fingerprint)]
    overlaps, unknown = _same_ground(scenes, marks)
    return Inspected(scenes, findings + unknown, alignment, overlaps, suspects, written)


def _look(job: Job) -> _Seen:
    scene, boxes = job
    try:
        pixels = read_pixels(scene.image, scene.reading)
    except UserError as error:
        return _Seen(str(error).removeprefix(f"{scene.image}: "))
    mark = fingerprint(scene.scene_id, pixels) if min(pixels.shape[:2]) >= SMALLEST else None
    return _Seen(None, examine(scene.scene_id, GradientField.of(pixels), boxes), mark)


def _same_ground(scenes: list[Scene], marks: list[SceneFingerprint]) -> tuple[list[Overlap], list[Finding]]:
    """Pairs that overlap by their coordinates or their pixels, and a warning where neither can tell."""
    areas = footprints(scenes)
    found = {(one.first, one.second): one for one in [*from_coordinates(areas), *find_same_ground(marks)]}
    compared = {*areas, *(mark.scene_id for mark in marks)}
    untold = [scene for scene in scenes if scene.scene_id not in compared]
    findings = []
    if untold and len(scenes) > 1:
        others = f" and {len(untold) - 1} more" if len(untold) > 1 else ""
        problem = (
            f"a side under {SMALLEST} px{others}: too small to tell from the pixels whether it shows the same ground "
            "as another scene"
        )
        action = "may be split from it; --split-file keeps them together"
        findings = [Finding(Severity.WARNING, "same-ground-unknown", str(untold[0].image), problem, action)]
    return [found[pair] for pair in sorted(found)], findings


def _records_by_scene(annotations: Annotations, class_map: Mapping[str, str | None]) -> dict[str, list[Record]]:
    """Tanks as written, by scene id; those without finite coordinates, of which nothing can be seen, left out."""
    scene_ids = {image.name: image.path.stem for image in annotations.images if image.path}
    by_scene: dict[str, list[Record]] = defaultdict(list)
    for record in annotations.records:
        if class_map.get(record.class_name) == CLASS_NAME and np.isfinite(np.array(record.box, np.float32)).all():
            by_scene[scene_ids.get(record.image, "")].append(record)
    return by_scene


def _second_opinion(
    alignment: DatasetVerdict, evidence: list[SceneEvidence], scenes: list[Scene], written: Mapping[str, Boxes]
) -> DatasetVerdict:
    unknown = [
        one.scene_id
        for one in evidence
        if alignment.scenes[one.scene_id].answer == Answer.UNKNOWN and one.boxes >= FEWEST
    ]
    scales = {verdict.fault for verdict in alignment.scenes.values() if verdict.fault.kind == faults.SCALED}
    by_id = {scene.scene_id: scene for scene in scenes}
    found = reexamine(by_id, {name: written[name] for name in unknown}, sorted(scales, key=str)[:5])
    again = {name: replace(alignment.scenes[name], answer=Answer.NO, fault=fault) for name, fault in found.items()}
    verdicts: dict[str, Verdict] = {**alignment.scenes, **again}
    return replace(alignment, scenes=verdicts)


def _misaligned(alignment: DatasetVerdict, scenes: list[Scene]) -> list[Finding]:
    findings = []
    if alignment.answer == Answer.NO:
        problem = f"boxes do not sit on the objects in most scenes: {alignment.fault}"
        findings.append(Finding(Severity.ERROR, MISALIGNED, "all scenes", problem, "--fix undoes it"))
    for scene in scenes:
        verdict = alignment.scenes.get(scene.scene_id)
        if verdict is None:
            continue
        if verdict.answer == Answer.NO and verdict.fault.kind != alignment.fault.kind:
            problem = f"boxes do not sit on the objects: {verdict.fault}"
            findings.append(
                Finding(
                    Severity.ERROR,
                    MISALIGNED,
                    str(scene.image),
                    problem,
                    "not fit for training; --fix tries to undo it",
                )
            )
        elif verdict.answer == Answer.UNKNOWN and len(scene.boxes):
            problem = "not enough evidence whether the boxes sit on the objects"
            findings.append(Finding(Severity.WARNING, "alignment-unknown", str(scene.image), problem, "kept"))
    return findings


def _suspects(
    alignment: DatasetVerdict, evidence: list[SceneEvidence], records: Mapping[str, list[Record]]
) -> list[Suspect]:
    found = [
        Suspect(one.scene_id, record, float(roundness))
        for one in evidence
        if alignment.scenes[one.scene_id].answer == Answer.YES
        for record, roundness in zip(records.get(one.scene_id, []), one.single, strict=True)
        if roundness < SUSPECT
    ]
    return sorted(found, key=lambda suspect: suspect.roundness)


def _too_many(suspects: list[Suspect], boxes: int) -> list[Finding]:
    if len(suspects) <= max(MANY * boxes, FEWEST):
        return []
    problem = f"{len(suspects)} of {boxes} boxes ({len(suspects) / boxes:.0%}) sit on nothing round"
    return [Finding(Severity.WARNING, "suspects", "all scenes", problem, "kept; --report shows the least round")]
