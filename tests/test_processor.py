from pathlib import Path

import pytest

from oil_storage import processor


@pytest.mark.parametrize(
    ("flags", "restriction", "kind"),
    [
        ("fma avx2 avx512_vnni", "", "vnni"),
        ("avx2 avx_vnni", "", "vnni"),
        ("avx2 avx512_vnni", "AVX2", "avx2"),
        ("avx avx2 avx512f", "", "avx2"),
        ("sse4_2", "", "other"),
    ],
)
def test_kind_is_read_from_the_flags(
    flags: str, restriction: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t: avx512_vnni\n")
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", restriction)
    assert processor.kind() == kind
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "none")
    assert processor.kind() == "other"
