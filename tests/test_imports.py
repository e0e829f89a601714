import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path("oil_storage")
GROUND = "ground floor"


def folder_of(module: str) -> str:
    _, *names = module.split(".")
    return names[0] if names and (PACKAGE / names[0]).is_dir() else GROUND


def test_folders_have_no_import_cycles_and_top_level_modules_import_no_folder() -> None:
    imported: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        own = folder_of(".".join(path.with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "oil_storage":
                modules = [f"oil_storage.{name.name}" for name in node.names]
                modules = modules if node.module == "oil_storage" else [str(node.module)]
                imported[own] |= {folder_of(module) for module in modules} - {own}
    assert len(imported) >= 12
    assert not imported[GROUND]
    order = list(TopologicalSorter(imported).static_order())  # raises CycleError
    assert order[0] == GROUND
    assert order[-1] == "cli"
