from pathlib import Path

from oil_storage.annotations.folders import visible


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    source = tmp_path / ".hidden" / "source"  # hidden above the source does not count
    for name in ("b.txt", "a.txt", "._a.txt", ".cache/c.txt", "sub/d.txt", "sub/.e.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    found = visible(source, "*.txt", "*/*.txt")
    assert [str(path.relative_to(source)) for path in found] == ["a.txt", "b.txt", "sub/d.txt"]
    assert visible(source / "nowhere", "*") == []
