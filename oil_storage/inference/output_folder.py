"""Detect in many scenes and write what is found into a folder; finished scenes are skipped on re-runs."""

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from oil_storage.errors import UserError
from oil_storage.files import remove_partial, write_bytes, write_json, write_text
from oil_storage.georeference import sidecars
from oil_storage.imagery import open_scene
from oil_storage.inference.map_files import FORMATS, summary, write
from oil_storage.inference.picture import picture
from oil_storage.inference.scene_detector import SceneDetections, SceneDetector
from oil_storage.inference.scene_page import scene_page
from oil_storage.inference.sites import measure

DONE = ".summary.json"
"""Ending of the file of a scene that is written last."""
PICTURES = "pictures"
"""Folder of the pictures; apart, so that none is taken for a scene."""
PAGE = ".html"


@dataclass(frozen=True)
class OutputFolder:
    """A folder of detections.

    Attributes:
        path: the folder; :meth:`open` makes it.
        made_by: all that the detections depend on beside the scene; a scene that was done otherwise is done again.
        with_pages: write a page for each scene.
    """

    path: Path
    made_by: Mapping[str, Any]
    with_pages: bool = False

    def open(self) -> None:
        """Make the folder and remove the partial files of killed runs."""
        (self.path / PICTURES).mkdir(parents=True, exist_ok=True)
        for folder in (self.path, self.path / PICTURES):
            remove_partial(folder)

    def detect(self, detector: SceneDetector, scenes: Sequence[Path], quiet: bool = False) -> dict[str, str]:
        """Detect in the scenes that are not finished; the files of one are written while the next is looked at.

        Args:
            detector: finds the tanks.
            scenes: image files.
            quiet: show no progress.

        Returns:
            dict: why a scene was left out, by its path.

        Raises:
            UserError: nothing can be written.
        """
        unfinished = [path for path in scenes if self.finished(path) is None]
        if len(unfinished) < len(scenes):
            print(f"{len(scenes) - len(unfinished)} of {len(scenes)} scenes are done already")
        left_out: dict[str, str] = {}
        writing: tuple[Path, Future[None]] | None = None
        found_in = tqdm(detector.detect_all(unfinished), total=len(unfinished), unit="scene", delay=2, disable=quiet)
        with ThreadPoolExecutor(1) as writer:
            for source, found in found_in:
                assert isinstance(source, Path)  # as all that were given
                if isinstance(found, UserError):
                    self._leave_out(source, str(found), left_out)
                    continue
                before = self._source_of(source.stem)
                if before not in (None, os.path.realpath(source)):
                    tqdm.write(f"{source}: takes the place of {before}, of the same name, in {self.path}")
                if writing is not None:
                    self._end_writing(*writing, left_out)  # no more than one waits
                writing = source, writer.submit(self._write, source, found, detector)
            if writing is not None:
                self._end_writing(*writing, left_out)
        return left_out

    def finished(self, scene: Path) -> dict[str, Any] | None:
        """Return the summary of a scene that was done in the same way; None where it has to be done."""
        path = self.path / f"{scene.stem}{DONE}"
        if not path.is_file() or not scene.is_file():
            return None
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return None  # it is written again
        same = json.loads(json.dumps(self.made_by)) == content.pop("made_by", None)
        return content if same and content.pop("file", None) == _version(scene) else None

    def write_summary(self, scenes: Sequence[Path], left_out: Mapping[str, str]) -> list[dict[str, Any]]:
        """Write ``summary.json`` of a run; return the summaries of the scenes that were done."""
        entries = [entry for path in scenes if (entry := self.finished(path)) is not None]
        write_json(self.path / "summary.json", {"made_by": self.made_by, "scenes": entries, "left_out": left_out})
        return entries

    def _write(self, source: Path, found: SceneDetections, detector: SceneDetector) -> None:
        """Write all files of a scene, and last the one by which it is known to be finished."""
        measures = measure(found)
        about = {"source": os.path.realpath(source), "file": _version(source)}
        (self.path / f"{source.stem}{DONE}").unlink(missing_ok=True)  # of another run
        write(found, measures, self.path)
        image = open_scene(source, detector.reader.reading)
        if self.with_pages:
            write_text(self.path / f"{source.stem}{PAGE}", scene_page(image, found, measures, detector.threshold))
        else:
            (self.path / f"{source.stem}{PAGE}").unlink(missing_ok=True)
        write_bytes(self.path / PICTURES / f"{source.stem}.jpg", picture(image, found))
        content = {**summary(found, measures), **about, "made_by": self.made_by}
        write_json(self.path / f"{source.stem}{DONE}", content)

    def _end_writing(self, source: Path, writing: "Future[None]", left_out: dict[str, str]) -> None:
        """Wait until a scene's files are written. A fault of one scene leaves it out; a full disk ends the run."""
        try:
            writing.result()
        except OSError as error:
            raise UserError(f"{source}: what was found cannot be written to {self.path}: {error}") from error
        except Exception as error:
            why = str(error) if isinstance(error, UserError) else f"{source}: {type(error).__name__}: {error}"
            self._leave_out(source, why, left_out, written=True)

    def _leave_out(self, source: Path, why: str, left_out: dict[str, str], written: bool = False) -> None:
        """Note and say why a scene is left out, and remove what is there of it, but not another file's results."""
        left_out[str(source)] = why
        tqdm.write(f"left out: {why}")
        if written or self._source_of(source.stem) == os.path.realpath(source):
            for ending in (DONE, *FORMATS, PAGE):
                (self.path / f"{source.stem}{ending}").unlink(missing_ok=True)
            (self.path / PICTURES / f"{source.stem}.jpg").unlink(missing_ok=True)

    def _source_of(self, name: str) -> str | None:
        """Return the file whose results of that name are there, if any."""
        try:
            source: str | None = json.loads((self.path / f"{name}{DONE}").read_text(encoding="utf-8")).get("source")
        except (OSError, ValueError):
            return None
        return source


def _version(scene: Path) -> dict[str, list[int]]:
    """Return what tells a file, and its place on earth, from another of its name, without reading all of it."""
    files = {file.name: file.stat() for file in (scene, *sidecars(scene))}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in files.items()}
