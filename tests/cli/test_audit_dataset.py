from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oil_storage.annotations.formats import read
from oil_storage.audit.alignment.faults import Fault
from oil_storage.audit.alignment.verdict import Answer
from oil_storage.audit.inspection import Inspected, inspect
from oil_storage.audit.records import audit
from oil_storage.cli.audit_dataset import main
from oil_storage.scene import CLASS_NAME
from tests.audit.alignment.sources import write_source


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_source(tmp_path_factory.mktemp("right") / "source", 3, {})


@pytest.mark.slow
def test_usable_source_returns_0_and_1_with_strict(
    right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(right)]) == 0
    assert "do the boxes sit on the objects? yes" in capsys.readouterr().out
    (tmp_path / "images").symlink_to(right / "images")
    rows = (right / "annotations.csv").read_text()
    (tmp_path / "annotations.csv").write_text(rows + 'scene_0,oil-storage-tank,"(5, 5, 5, 9)"\n')
    assert main([str(tmp_path)]) == 0
    assert "has no area -> dropped" in capsys.readouterr().out
    assert main([str(tmp_path), "--strict"]) == 1


def test_errors_return_1_and_are_repaired(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "source", 3, dict.fromkeys(range(3), Fault("mirrored left-right")))
    assert main([str(source), "--fix", str(tmp_path / "mended")]) == 1
    printed = capsys.readouterr().out
    assert "do the boxes sit on the objects? no, mirrored left-right" in printed
    assert "3 of them repaired" in printed
    assert main([str(tmp_path / "mended")]) == 0


@pytest.mark.slow
def test_scene_that_is_still_wrong_after_repair_is_not_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def wrong_at_first(*arguments: Any) -> Inspected:
        inspected = inspect(*arguments)
        calls.append(inspected)
        if len(calls) > 1:
            return inspected
        verdict = replace(inspected.alignment.scenes["scene_0"], answer=Answer.NO, fault=Fault("transposed"))
        scenes = {**inspected.alignment.scenes, "scene_0": verdict}
        return replace(inspected, alignment=replace(inspected.alignment, scenes=scenes))

    for module in ("inspection", "repair"):
        monkeypatch.setattr(f"oil_storage.audit.{module}.inspect", wrong_at_first)
    source = write_source(tmp_path / "source", 3, {})
    main([str(source), "--fix", str(tmp_path / "mended")])
    assert "unchanged: scene_0: undoing the fault (transposed) does not correct the boxes" in capsys.readouterr().out
    assert len(calls) == 2
    before, after = (audit(read(folder), {CLASS_NAME: CLASS_NAME})[0] for folder in (source, tmp_path / "mended"))
    for one, other in zip(before, after, strict=True):
        assert np.allclose(one.boxes, other.boxes, atol=0.01)


def test_missing_source_returns_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_audit_page_is_self_contained(right: Path, tmp_path: Path) -> None:
    page = tmp_path / "audit.html"
    assert main([str(right), "--report", str(page)]) == 0
    text = page.read_text()
    assert text.count("data:image/") >= 4
    assert "http" not in text
    assert "<script" not in text
    assert "Suspect boxes" in text


@pytest.mark.slow
def test_audit_reports_a_different_fault_in_each_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = [Fault("transposed"), Fault("mirrored top-bottom"), Fault("xywh read as xyxy")]
    source = write_source(tmp_path / "source", 3, dict(enumerate(faults)))
    page = tmp_path / "audit.html"
    assert main([str(source), "--report", str(page)]) == 1
    printed = capsys.readouterr().out
    assert "do the boxes sit on the objects? not in 3 of 3 scenes; by scene: 3 no\n" in printed
    assert "measured" not in printed
    assert [line.partition(":")[0] for line in printed.splitlines() if line.startswith("error")] == ["error"] * 3
    text = page.read_text()
    assert '<strong class="no">not in 3 of 3 scenes</strong>' in text
    assert text.count('alt="as written"') == text.count('alt="fault corrected"') == 3
    assert "<h3>scene_1: mirrored top-bottom</h3>" in text


@pytest.mark.slow
def test_findings_are_printed_in_order_of_severity(
    right: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").symlink_to(right / "images")
    rows = [
        "nowhere,oil-storage-tank,(1, 1, 9, 9)",
        "scene_0,oil-storage-tank,(-5, 5, 5, 15)",
        "scene_0,oil-storage-tank,(5, 5, 5, 9)",
    ]
    quoted = [",".join([*row.split(",", 2)[:2], f'"{row.split(",", 2)[2]}"']) for row in rows]
    (tmp_path / "annotations.csv").write_text((right / "annotations.csv").read_text() + "\n".join(quoted) + "\n")
    assert main([str(tmp_path)]) == 1
    severities = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert severities[:3] == ["repair", "warning", "error"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--config", "annotations.csv"], "annotations.csv: not a config"),
        (["--report", "images"], "--report images: must be a file in an existing folder"),
        (["--report", "nowhere/audit.html"], "--report nowhere/audit.html: must be a file"),
    ],
)
def test_audit_refuses_bad_options_before_it_reads_pixels(
    right: Path, option: list[str], words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(right)
    monkeypatch.setattr("oil_storage.audit.inspection.inspect", None)
    assert main([".", *option]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.slow
def test_damaged_image_does_not_prevent_repair_of_the_others(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", 4, {1: Fault("transposed")})
    (source / "images" / "scene_0.png").write_bytes(b"junk")
    assert main([str(source), "--fix", str(tmp_path / "mended")]) == 1
    assert main([str(tmp_path / "mended")]) == 0
    assert len(list((tmp_path / "mended" / "images").iterdir())) == 3


@pytest.mark.slow
def test_absurd_boxes_do_not_hide_a_fault_and_are_not_drawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = write_source(tmp_path / "source", 3, dict.fromkeys(range(3), Fault("coordinates scaled", (0.5, 0.5))))
    wild = ["-1e30, 0, 1e30, 3", "-3e38, -3e38, 3e38, 3e38", "5, 5, 5, 5", "1e38, 1e38, 3e38, 3e38"]
    table = source / "annotations.csv"
    table.write_text(table.read_text() + "".join(f'scene_0,oil-storage-tank,"({box})"\n' for box in wild))
    page = tmp_path / "audit.html"
    assert main([str(source), "--report", str(page)]) == 1
    assert page.read_text().count('alt="fault corrected"') == 3
    printed = capfd.readouterr()
    assert "by scene: 3 no" in printed.out
    assert "Warning" not in printed.err
