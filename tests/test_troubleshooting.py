"""The messages that docs/troubleshooting.md and docs/install.md quote exist in the code."""

import ast
import re
from pathlib import Path

import pytest

FOREIGN = {
    *("No module named 'oil_storage'", "No module named 'mmcv._ext'", "CUDA out of memory"),
    *("No space left on device", "Address already in use"),
    *("CUDA_HOME environment variable is not set", "mismatches the version that was used to compile PyTorch"),
    *("error: command 'c++' failed", "Python.h: No such file or directory"),
    *("c++: fatal error: Killed", "libGL.so.1: cannot open shared object file", "no kernel image is available"),
}
"""Messages of Python, the operating system, torch and the compiler."""


def quoted(page: str) -> set[str]:
    """Return the messages that a page quotes: code spans with a space, in the first column of a table."""
    rows = re.findall(r"^\| (.+?) \|", Path("docs", page).read_text(encoding="utf-8"), flags=re.M)
    return {code for row in rows for code in re.findall(r"`([^`]+)`", row) if " " in code}


def texts() -> str:
    """Return all strings of the code, with ``{}`` for what f-strings fill in."""
    lines = []
    for path in [*Path("oil_storage").rglob("*.py"), *Path("tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                lines.append("".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                lines.append(node.value)
    return "\n".join(lines)


@pytest.mark.parametrize("page", ["troubleshooting.md", "install.md"])
def test_quoted_messages_exist_in_the_code(page: str) -> None:
    code = texts()
    messages = quoted(page) - FOREIGN
    assert len(messages) >= 2
    versionless = {re.sub(r"\d+\.\d+", "{}", message): message for message in messages}
    missing = [message for text, message in versionless.items() if text not in code]
    assert missing == [], f"docs/{page} quotes messages that the code does not have"
