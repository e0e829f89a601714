import argparse
import os
import signal
import time

import pytest

from oil_storage.cli import command
from oil_storage.cli.command import run
from oil_storage.errors import UserError


def raising(error: BaseException | None, argv: list[str]) -> int:
    def body(args: argparse.Namespace) -> None:
        if error is not None:
            raise error

    return run(argparse.ArgumentParser, body, argv)


def test_sigterm_runs_clean_up_code_and_returns_143(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned: list[bool] = []

    def body(args: argparse.Namespace) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)  # a second signal does not stop the clean-up
            cleaned.append(True)

    assert run(argparse.ArgumentParser, body, []) == 143
    assert cleaned
    assert capsys.readouterr().err == "terminated\n"
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (None, 0, ""),
        (UserError("a.csv:3: no bounds"), 2, "error: a.csv:3: no bounds"),
        (PermissionError(13, "Permission denied", "/out"), 2, "error: /out: Permission denied"),
        (OSError("disk gone"), 2, "error: disk gone"),
        (
            OSError(28, "No space left on device", "/from", None, "/to"),
            2,
            "error: /to: No space left on device; free some space, or choose another folder",
        ),
        (OSError(13, "Permission denied", "/from", None, "/to"), 2, "error: /from: Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ImportError("undefined symbol: _ZN3c10"), 2, "error: undefined symbol: _ZN3c10; run oil-storage doctor"),
        (
            ModuleNotFoundError("No module named 'mmcv.ops'", name="mmcv.ops"),
            2,
            "error: this needs the training stack (No module named 'mmcv.ops'); run make install in a clone of the "
            "repository",
        ),
        (KeyError("boxes"), 2, "error: KeyError: 'boxes'\nrun it again with --debug to see the traceback"),
    ],
)
def test_exceptions_become_a_message_and_an_exit_status(
    capsys: pytest.CaptureFixture[str], error: BaseException | None, status: int, words: str
) -> None:
    assert raising(error, []) == status
    assert capsys.readouterr().err.strip() == words


@pytest.mark.parametrize("error", [UserError("x"), PermissionError(13, "x"), KeyError("x")])
def test_debug_shows_the_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        raising(error, ["--debug"])


@pytest.mark.parametrize(("rank", "waits"), [(None, False), ("0", False), ("1", True)])
def test_first_process_reports_an_error_at_once_and_others_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: str | None, waits: bool
) -> None:
    heard: list[str] = []
    monkeypatch.setattr(command.time, "sleep", lambda seconds: heard.append(capsys.readouterr().err))
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert raising(UserError("no data"), []) == 2
    assert heard == ([""] if waits else [])
    assert "error: no data" in capsys.readouterr().err
