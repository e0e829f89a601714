import argparse

import pytest

from oil_storage.cli.command import run
from oil_storage.errors import UserError


def raising(error: BaseException | None, argv: list[str]) -> int:
    def body(args: argparse.Namespace) -> None:
        if error is not None:
            raise error

    return run(argparse.ArgumentParser(), body, argv)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (None, 0, ""),
        (UserError("a.csv:3: no bounds"), 2, "error: a.csv:3: no bounds"),
        (PermissionError(13, "Permission denied", "/out"), 2, "error: /out: Permission denied"),
        (OSError("disk gone"), 2, "error: disk gone"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (KeyError("boxes"), 1, "error: KeyError: 'boxes'\nrun again with --debug for the traceback"),
    ],
)
def test_failures_become_a_line_and_a_status(
    capsys: pytest.CaptureFixture[str], error: BaseException | None, status: int, words: str
) -> None:
    assert raising(error, []) == status
    assert capsys.readouterr().err.strip() == words


@pytest.mark.parametrize("error", [UserError("x"), PermissionError(13, "x"), KeyError("x")])
def test_debug_shows_the_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        raising(error, ["--debug"])
