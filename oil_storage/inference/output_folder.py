"""Detect tanks in many scenes and write the results to a folder.

If the command is repeated, finished scenes are skipped. torch is imported only if a scene is not finished and the
detector runs in PyTorch.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from oil_storage.config import load as load_config
from oil_storage.errors import UserError
from oil_storage.files import locked, remove_partial, sha256, write_bytes, write_json, write_text
from oil_storage.georeference import sidecars
from oil_storage.image_file import vrt_sources
from oil_storage.imagery import SceneImage
from oil_storage.inference.bounding_box import BoundingBox
from oil_storage.inference.remote_file import first_bytes
from oil_storage.inference.runtimes import INT8, choose
from oil_storage.inference.scene_asset import SceneAsset
from oil_storage.inference.scene_detections import FinishedScene, MadeBy, RunSummary, SceneDetections, summarise
from oil_storage.inference.scene_files import FORMATS, index_page, scene_page, scene_picture, write_formats
from oil_storage.inference.scene_sources import SceneFile, is_outside
from oil_storage.parallel import in_threads

if TYPE_CHECKING:
    from mmengine.config import Config

    from oil_storage.inference.scene_detector import SceneDetector

logger = logging.getLogger(__name__)
RECORD, PAGE = ".summary.json", ".html"
"""Endings of the names of a scene's record and HTML page. The record is written last and marks a finished scene."""
PICTURES, SUMMARY, INDEX = "pictures", "summary.json", "index.html"
"""Names in the output folder. Pictures have a separate folder, so that they are not mistaken for input scenes."""
LONGEST_NAME = 255
"""Maximum length of a file name in bytes."""
OVERLAP = 128
"""Overlap of neighbouring tiles in pixels. Nearly all tanks are smaller, so at least one tile shows the whole tank."""
LONGEST_RUN = timedelta(days=365)
"""Maximum time for which a process waits for the other processes."""


def detect_scenes(
    config: Path | None, checkpoint: Path, scenes: Sequence[SceneFile], out: Path, *, html: bool = False, **options: Any
) -> RunSummary:
    """Detect the tanks of many scenes, and write the results of each scene as soon as it is finished.

    If torchrun starts several processes, the scenes are distributed over them. The first process writes the summary.

    Args:
        config: config file of the detector; None only for ONNX files.
        checkpoint: see :class:`oil_storage.inference.scene_detector.SceneDetector`.
        scenes: image files, or URLs and STAC items from
            :func:`oil_storage.inference.scene_sources.find_sources`; their names without suffix must be unique.
        out: output folder; created if it does not exist.
        html: write an HTML page for each scene, and ``index.html`` with links to them.
        **options: keyword arguments of ``SceneDetector``.

    Raises:
        UserError: the detector cannot be built, no scene meets ``bbox``, or the results cannot be written.
    """
    if html and (named := [scene for scene in scenes if scene.stem == Path(INDEX).stem]):
        raise UserError(f"{named[0]}: its page would overwrite {INDEX}, the list of scenes; rename the scene")
    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    checkpoint, backend = choose(
        checkpoint, options.get("backend"), options.get("precision", "auto"), options.get("device")
    )
    cfg = None if backend != "torch" or config is None else load_config(config)
    request = _request(config, cfg, checkpoint, html, options)
    folder = OutputFolder(out, request)
    scenes, outside = _parted(scenes, request.bbox)
    unfinished = [scene for scene in scenes if folder.finished(scene) is None]
    if len(unfinished) < len(scenes):
        logger.info("%d of %d scenes are finished and skipped", len(scenes) - len(unfinished), len(scenes))
    if not unfinished:
        with _locked(out, rank):
            return folder.write_summary(scenes, {}, outside=outside)
    if processes > 1:
        _join()
    with contextlib.redirect_stdout(io.StringIO()):  # mmdet prints missing optional packages
        from oil_storage.inference.scene_detector import SceneDetector

        detector = SceneDetector(cfg or config, checkpoint, **options)
    if config is not None and detector.made_with not in (None, config.stem):
        logger.warning(
            "%s: was trained with the config %s; %s may prepare scenes differently and detect fewer tanks",
            *(checkpoint, detector.made_with, config.stem),
        )
    reader = detector.reader
    precision = "int8" if checkpoint.name.endswith(INT8) else "float32" if backend != "torch" else None
    used = {"score_threshold": detector.threshold, "tile": reader.tile, **asdict(reader.reading)}
    used |= {"backend": backend, "precision": precision}
    made_by = request.model_copy(update=used)
    with _locked(out, rank):
        if processes == 1:
            left_out = folder.detect(detector, made_by, unfinished, scenes)
        else:
            from torch import distributed

            distributed.barrier()  # the first process holds the lock
            own = folder.detect(detector, made_by, unfinished[rank::processes], scenes, quiet=rank > 0)
            shares: list[dict[str, str]] = [{}] * processes
            distributed.all_gather_object(shares, own)  # waits for all processes
            distributed.destroy_process_group()
            left_out = {path: reason for share in shares for path, reason in share.items()}
        return folder.write_summary(scenes, left_out, made_by, outside)


def _locked(out: Path, rank: int) -> AbstractContextManager[None]:
    """Create the output folder, and lock it in the first process."""
    out.mkdir(parents=True, exist_ok=True)
    return locked(out) if rank == 0 else contextlib.nullcontext()


def _parted(
    scenes: Sequence[SceneFile], bbox: tuple[float, float, float, float] | None
) -> tuple[list[SceneFile], list[str]]:
    """Return the scenes that meet a bounding box, and the paths of the others; raise UserError if none meets it."""
    if bbox is None:
        return list(scenes), []
    box = BoundingBox(*bbox)
    outside = [scene for scene in scenes if is_outside(scene, box)]
    if len(outside) == len(scenes):
        raise UserError(
            f"--bbox {box}: meets none of the {len(scenes)} scenes (the first is {scenes[0]}); give west, south, east "
            "and north in degrees"
        )
    return [scene for scene in scenes if scene not in outside], list(map(str, outside))


def _join() -> None:
    """Wait for the other processes that torchrun started, and select the GPU of this process."""
    import torch
    from torch import distributed

    distributed.init_process_group("gloo", timeout=LONGEST_RUN)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))


def _request(
    config: Path | None, cfg: "Config | None", checkpoint: Path, html: bool, options: Mapping[str, Any]
) -> MadeBy:
    """Describe a run. ``cfg`` is None for an ONNX file, which contains all settings."""
    digest = ""
    if cfg is not None:
        dataset = cfg.test_dataloader.dataset
        parts = cfg.model.to_dict(), [dict(step) for step in dataset.pipeline], int(dataset.tile)
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    return MadeBy(
        config=config.stem if config else "",
        config_sha256=digest,
        checkpoint_sha256=sha256(checkpoint),
        false_alarms=options.get("false_alarms"),
        overlap=options.get("overlap", OVERLAP),
        gsd=options.get("gsd"),
        source_gsd=options.get("source_gsd"),
        scale=options.get("scale"),
        tta=options.get("tta", False),
        html=html,
        bbox=options.get("bbox"),
        asked=(options.get("score_thr"), options.get("tile"), options.get("bands"), options.get("stretch")),
    )


@dataclass(frozen=True)
class OutputFolder:
    """Output folder of a run.

    Attributes:
        path: path of the folder.
        request: requested detector and options; see :meth:`MadeBy.request`.
    """

    path: Path
    request: MadeBy

    def finished(self, scene: SceneFile) -> FinishedScene | None:
        """Return the record of a finished scene.

        Return None if the scene is not finished, or if its input files or the request have changed since then.
        """
        record = self._record(scene.stem)
        if record is None or record.made_by.request() != self.request or not scene.is_file():
            return None
        try:
            return record if record.file == _version(scene) else None
        except UserError:  # reported when the scene is searched
            return None

    def detect(
        self,
        detector: "SceneDetector",
        made_by: MadeBy,
        scenes: Sequence[SceneFile],
        siblings: Sequence[SceneFile] = (),
        quiet: bool = False,
    ) -> dict[str, str]:
        """Detect tanks in scenes, and write the files of each scene in a thread while the next scene is searched.

        For ``siblings``, see :meth:`SceneDetector.detect_all`.

        Returns:
            dict: maps the path of each scene that was left out to the reason.

        Raises:
            UserError: the folder cannot be written to.
        """
        for folder in (self.path, self.path / PICTURES):
            folder.mkdir(parents=True, exist_ok=True)
            remove_partial(folder)  # left by killed runs
        quiet = quiet or not logger.isEnabledFor(logging.INFO)
        results = tqdm(
            detector.detect_opened(scenes, siblings), total=len(scenes), unit="scene", delay=2, disable=quiet
        )
        write = partial(self._write, detector=detector, made_by=made_by)
        reasons = zip(scenes, in_threads(write, results), strict=True)
        return {str(scene): reason for scene, reason in reasons if reason is not None}

    def _write(
        self,
        scene: SceneFile,
        result: tuple[SceneImage, SceneDetections] | UserError,
        detector: "SceneDetector",
        made_by: MadeBy,
    ) -> str | None:
        """Write all files of a scene, and the record last. If the scene cannot be written, remove its files.

        Returns:
            str | None: the reason if the scene is left out; None if all files were written.

        Raises:
            UserError: the folder cannot be written to.
        """
        name, source = scene.stem, _place(scene)
        if len(os.fsencode(f"{name}{RECORD}")) > LONGEST_NAME:
            return f"{scene}: the name is too long for its output files; rename the scene"
        previous = self._record(name)
        if isinstance(result, UserError):
            if previous is not None and previous.source == source:
                self._remove(name)
            return str(result)
        if previous is not None and previous.source != source:
            logger.warning(
                "%s: replaces the results of %s in %s; both have the same name", scene, previous.source, self.path
            )
        image, detections = result
        try:
            self._remove(name)
            version = _version(scene)
            summary = summarise(detections, source)
            write_formats(detections, self.path)
            if made_by.html:
                write_text(self.path / f"{name}{PAGE}", scene_page(image, detections, summary, detector.threshold))
            write_bytes(self.path / PICTURES / f"{name}.jpg", scene_picture(image, detections))
            record = FinishedScene(**summary.model_dump(exclude_unset=True), file=version, made_by=made_by)
            if isinstance(scene, SceneAsset) and scene.is_remote:
                record = record.model_copy(update={"bytes_read": scene.bytes_read(), "bytes_total": scene.size})
            write_json(self.path / f"{name}{RECORD}", record.model_dump(mode="json", exclude_unset=True))
        except Exception as error:
            self._remove(name)
            if isinstance(error, OSError):
                raise UserError(
                    f"{self.path}: the detections of {scene} cannot be written ({error});\n"
                    "free some space, or choose another folder with --out"
                ) from error
            return str(error) if isinstance(error, UserError) else f"{scene}: {type(error).__name__}: {error}"
        return None

    def _record(self, name: str) -> FinishedScene | None:
        """Return the record of a scene; None if the record is missing or not valid."""
        try:
            return FinishedScene.model_validate_json((self.path / f"{name}{RECORD}").read_bytes())
        except (OSError, ValueError):
            return None

    def _remove(self, name: str) -> None:
        for ending in (RECORD, *FORMATS, PAGE):
            (self.path / f"{name}{ending}").unlink(missing_ok=True)
        (self.path / PICTURES / f"{name}.jpg").unlink(missing_ok=True)

    def write_summary(
        self,
        scenes: Sequence[SceneFile],
        left_out: dict[str, str],
        made_by: MadeBy | None = None,
        outside: Sequence[str] = (),
    ) -> RunSummary:
        """Return the summary of a run. The first process also writes it to the folder.

        If ``made_by`` is None, the summary states the detector and options of the first scene.
        """
        records = [record for scene in scenes if (record := self.finished(scene)) is not None]
        summary = RunSummary(
            made_by=made_by or records[0].made_by,
            scenes=list(records),
            left_out=left_out,
            outside=list(outside),
        )
        if os.environ.get("RANK", "0") == "0":
            write_json(self.path / SUMMARY, summary.model_dump(mode="json", exclude_unset=True))
            if self.request.html or (self.path / INDEX).exists():
                names = sorted(path.name.removesuffix(RECORD) for path in self.path.glob(f"*{RECORD}"))
                finished = [record for name in names if (record := self._record(name)) is not None]
                write_text(self.path / INDEX, index_page(finished, left_out))
        return summary


def _place(scene: SceneFile) -> str:
    """Return the real path of a local scene, or the URL of a remote one."""
    is_remote = isinstance(scene, SceneAsset) and scene.is_remote
    return str(scene) if is_remote else os.path.realpath(scene)


def _version(scene: SceneFile) -> dict[str, tuple[int, int]]:
    """Return the size and modification time of an image, its sidecars and the sources of a VRT, by relative path."""
    if isinstance(scene, SceneAsset):
        if scene.is_remote:
            start = first_bytes(scene.location)
            return {scene.name: (start.size or 0, start.version)}
        scene = Path(scene)
    sources = vrt_sources(scene) if scene.suffix.lower() == ".vrt" else []
    files = {os.path.relpath(file, scene.parent): file.stat() for file in (scene, *sidecars(scene), *sources)}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in files.items()}
