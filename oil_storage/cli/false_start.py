"""That a start which is refused leaves nothing behind."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oil_storage.errors import UserError


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Take back what was written into ``folder`` by what ends in an error of the user's before it has begun.

    It has begun when it has logged figures or saved a checkpoint. A config that stood there, and which mmengine has
    replaced by then, is put back.

    Args:
        folder: a work dir; it, and folders above it, are removed where they were not there before.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    there = set() if made else set(folder.iterdir())
    configs = {path: path.read_bytes() for path in folder.glob("*.py")}
    try:
        yield
    except (UserError, OSError):
        new = [] if not folder.is_dir() else [path for path in folder.iterdir() if path not in there]
        if not any(_holds_work(path) for path in new):
            for path in new:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for path, content in configs.items():
                path.write_bytes(content)
            for path in made:
                with suppress(OSError):  # another process writes there
                    path.rmdir()
        raise


def _holds_work(path: Path) -> bool:
    return path.suffix == ".pth" or any(log.stat().st_size for log in path.glob("vis_data/scalars.json"))
