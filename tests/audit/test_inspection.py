import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

from oil_storage.annotations import formats
from oil_storage.audit.alignment import faults
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.verdict import Answer
from oil_storage.audit.inspection import Inspected, inspect
from oil_storage.audit.records import audit
from oil_storage.audit.repair import mend, without_boxes
from oil_storage.cli.make_synthetic import main as make_synthetic
from oil_storage.cli.prepare_dataset import main as prepare
from oil_storage.findings import Severity
from oil_storage.scene import CLASS_NAME
from tests.annotations.test_geojson import feature, rectangle
from tests.annotations.test_geojson import write as write_geojson
from tests.audit.alignment.discs import scene_of_discs
from tests.audit.alignment.sources import write_source
from tests.labelled_scenes import write_geotiff
from tests.raw_data import write_raw_data

CLASSES = {CLASS_NAME: CLASS_NAME}
SIZES = {f"scene_{index}": (900, 700) for index in range(6)}


def inspected(source: Path) -> Inspected:
    return inspect(formats.read(source), CLASSES)


def test_correct_source_has_no_errors(tmp_path: Path) -> None:
    result = inspected(write_source(tmp_path / "source", 4, {}))
    assert result.alignment.answer == Answer.YES
    assert [finding for finding in result.findings if finding.severity == Severity.ERROR] == []
    assert [scene.scene_id for scene in result.fit] == [f"scene_{index}" for index in range(4)]
    assert result.same_ground == []


@pytest.mark.slow
def test_misaligned_scenes_are_reported_excluded_and_repaired(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 6, {1: Fault("transposed")}, exchanged=[3, 5])
    result = inspected(source)
    assert result.alignment.answer == Answer.YES
    wrong = {name: verdict.fault for name, verdict in result.alignment.scenes.items() if verdict.answer == Answer.NO}
    assert wrong == {
        "scene_1": Fault("transposed"),
        "scene_3": Fault(faults.ELSEWHERE, image="scene_5"),
        "scene_5": Fault(faults.ELSEWHERE, image="scene_3"),
    }
    assert [scene.scene_id for scene in result.fit] == ["scene_0", "scene_2", "scene_4"]
    errors = [finding for finding in result.findings if finding.severity == Severity.ERROR]
    assert sorted(Path(finding.place).stem for finding in errors) == sorted(wrong)
    mended, undone = mend(formats.read(source), result.alignment, SIZES)
    assert sorted(undone) == sorted(wrong)
    for index, scene in enumerate(audit(mended, CLASSES)[0]):
        assert np.allclose(np.sort(scene.boxes, axis=0), np.sort(scene_of_discs(index)[1], axis=0), atol=0.01)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault("xywh read as xyxy"), marks=pytest.mark.slow),
        pytest.param(Fault(faults.SCALED, (0.8, 0.8)), marks=pytest.mark.slow),
        pytest.param(Fault(faults.SHIFTED, (2.0, 0.0)), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_common_fault_is_reported_once_and_repaired(tmp_path: Path, fault: Fault) -> None:
    source = write_source(tmp_path / "source", 5, dict.fromkeys(range(5), fault))
    result = inspected(source)
    assert result.alignment.fault.kind == fault.kind
    assert result.fit == []
    errors = [finding for finding in result.findings if finding.severity == Severity.ERROR]
    assert [finding.check for finding in errors] == ["misaligned"]
    mended, _ = mend(formats.read(source), result.alignment, SIZES)
    for index, scene in enumerate(audit(mended, CLASSES)[0]):
        assert np.abs(scene.boxes - scene_of_discs(index)[1]).max() < 1.0


@pytest.mark.slow
def test_repair_removes_scenes_whose_boxes_were_moved_away(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 3, {})
    alignment = inspected(source).alignment
    given = {"scene_0": "scene_1", "scene_1": "scene_2"}
    verdicts = {
        name: replace(alignment.scenes[name], answer=Answer.NO, fault=Fault(faults.ELSEWHERE, image=other))
        for name, other in given.items()
    }
    mended, undone = mend(formats.read(source), replace(alignment, scenes={**alignment.scenes, **verdicts}), SIZES)
    assert without_boxes(undone) == {"scene_0"}
    assert [image.name for image in mended.images] == ["scene_1", "scene_2"]
    assert len(mended.records) == 120


@pytest.mark.slow
def test_repair_leaves_both_scenes_of_an_exchange_unchanged(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 6, {1: Fault("transposed")}, exchanged=[3, 5])
    annotations, alignment = formats.read(source), inspected(source).alignment
    mended, undone = mend(annotations, alignment, SIZES, leave={"scene_3"})
    assert sorted(undone) == ["scene_1"]
    before, after = (
        [record for record in item.records if record.image in ("scene_3", "scene_5")] for item in (annotations, mended)
    )
    assert before
    assert after == before


@pytest.mark.slow
def test_repair_moves_only_boxes_that_become_rounder(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 4, {1: Fault("transposed")})
    annotations, result = formats.read(source), inspected(source)
    of_faulty = np.array([record.image == "scene_1" for record in annotations.records])
    assert result.roundness[~of_faulty].mean() > result.roundness[of_faulty].mean() + 0.3
    improved = np.arange(len(annotations.records)) % 2 == 0
    mended, undone = mend(annotations, result.alignment, SIZES, improved=improved)
    assert undone == {"scene_1": Fault("transposed")}
    moved = [old != new for old, new in zip(annotations.records, mended.records, strict=True)]
    assert moved == (improved & of_faulty).tolist()


@pytest.mark.slow
def test_many_suspect_boxes_are_a_warning(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 2, {})
    assert "suspects" not in {finding.check for finding in inspected(source).findings}
    table = source / "annotations.csv"
    empty = [f'scene_0,oil-storage-tank,"({x}, 2, {x + 12}, 14)"' for x in range(20, 820, 60)]
    table.write_text(table.read_text() + "\n".join(empty) + "\n")
    (warning,) = [finding for finding in inspected(source).findings if finding.check == "suspects"]
    assert warning.severity == Severity.WARNING
    assert "boxes (" in warning.problem


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 5, 6])
def test_synthetic_scenes_have_no_errors(tmp_path: Path, seed: int) -> None:
    assert make_synthetic([str(tmp_path / "source"), "--scenes", "30", "--size", "1280", "--seed", str(seed)]) == 0
    result = inspected(tmp_path / "source")
    assert result.alignment.answer == Answer.YES
    assert [finding for finding in result.findings if finding.severity == Severity.ERROR] == []


def test_truncated_image_is_an_error(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 3, {})
    victim = source / "images" / "scene_1.png"
    victim.write_bytes(victim.read_bytes()[:20_000])
    result = inspected(source)
    assert [scene.scene_id for scene in result.fit] == ["scene_0", "scene_2"]
    assert [finding.check for finding in result.findings if finding.severity == Severity.ERROR] == ["damaged-image"]


@pytest.mark.slow
def test_box_without_a_tank_is_a_suspect(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 3, {})
    with (source / "annotations.csv").open("a") as file:
        file.write('scene_1,oil-storage-tank,"(1, 1, 3.5, 60)"\n')
    last = len((source / "annotations.csv").read_text().splitlines())
    assert f"{source}/annotations.csv:{last}" in [suspect.record.place for suspect in inspected(source).suspects]


def test_scenes_that_overlap_in_coordinates_stay_in_one_split(tmp_path: Path) -> None:
    """Use scenes without texture, one of them in the coordinates of the adjacent UTM zone."""
    source = tmp_path / "source"
    source.mkdir()
    places = {
        "a": ("EPSG:32631", 701_000),
        "b": ("EPSG:32632", 33_000),  # 100 m east of a
        "c": ("EPSG:32631", 701_400),
        "d": ("EPSG:32631", 730_000),
        "e": ("EPSG:32631", 740_000),
    }
    for name, (crs, east) in places.items():
        placed = Affine(2, 0, east, 0, -2, 5_000)
        write_geotiff(source / f"{name}.tif", 100, 80, crs, placed)
        write_geojson(source / f"{name}.geojson", feature(rectangle((10, 10, 30, 30), placed, crs)))
    for seed in range(2):
        out = tmp_path / str(seed)
        command = [str(source), str(out), "--tile", "64", "--overlap", "0", "--seed", str(seed)]
        assert prepare([*command, "--class-map", f"tank={CLASS_NAME}", "--allow"]) == 0
        manifest = json.loads((out / "manifest.json").read_text())
        assert [pair["scenes"] for pair in manifest["same_ground"]] == [["a", "b"]]
        assert sum({"a", "b"} <= set(scenes) for scenes in manifest["split"].values()) == 1


def test_scenes_too_small_to_compare_are_reported(tmp_path: Path) -> None:
    source = write_raw_data(tmp_path / "small", scenes=3, size=128, tanks=2)
    unknown = [finding for finding in inspected(source).findings if finding.check == "same-ground-unknown"]
    assert [Path(finding.place).name for finding in unknown] == ["scene_0.jpg"]
    assert "(one of 3 such images)" in unknown[0].problem
    source = write_raw_data(tmp_path / "large", scenes=3, size=256)
    assert "same-ground-unknown" not in [finding.check for finding in inspected(source).findings]
