"""Find the tanks of whole scenes: how many, where, how large, and the sites that they make."""

import argparse
import glob
import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oil_storage.cli import configuration
from oil_storage.cli.command import is_first_process, run
from oil_storage.errors import UserError

if TYPE_CHECKING:
    from oil_storage.inference import SceneDetections, SceneDetector

LIST = ".txt"
DONE = ".summary.json"
"""Ending of the file that is written last of a scene's."""
PICTURES = "pictures"
"""Folder in the output, apart, so that none is taken for a scene."""
LONGEST_RUN = timedelta(days=365)
"""For which the first of several processes waits for the others."""


def build_parser() -> argparse.ArgumentParser:
    """The tool's arguments."""
    from oil_storage.cli.source import add_reading

    parser = argparse.ArgumentParser(prog="tools/detect.py", description=__doc__)
    parser.add_argument("config", type=Path, help="config file, e.g. configs/oil/ssd_lite0.py")
    parser.add_argument(
        "checkpoint", type=Path, help="checkpoint that tools/train.py wrote, or what tools/export.py made of one"
    )
    parser.add_argument(
        "scenes",
        nargs="+",
        metavar="SCENE",
        help="JPEG, PNG, TIFF or GeoTIFF; a folder of such, a pattern in quotes, or a .txt with one in each line",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for what is found")
    parser.add_argument(
        "--score-thr", type=float, metavar="SCORE", help="least score (default: the one kept in the checkpoint)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes CUDA if there")
    parser.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="tiles at a time (default: CUDA: the config's; CPU: one for two cores)",
    )
    parser.add_argument("--tile", type=int, metavar="PX", help="side of what the detector gets (default: the config's)")
    parser.add_argument(
        "--overlap",
        type=int,
        default=128,
        metavar="PX",
        help="pixels of the scene that neighbouring tiles share (default: %(default)s)",
    )
    parser.add_argument("--scale", type=float, default=1.0, metavar="S", help="magnify scenes S times before tiling")
    parser.add_argument(
        "--backend", choices=("torch", "onnx"), default="torch", help="onnx runs tools/export.py's file"
    )
    parser.add_argument("--html", action="store_true", help="of each scene a page too, to zoom, with boxes to click")
    parser.add_argument(
        "--tta",
        action="store_true",
        help="look at each tile also turned by 180 degrees, or as the config's tta_pipeline says, and merge",
    )
    add_reading(parser, default="as in the training of the weights")
    return parser


def detect(args: argparse.Namespace) -> int:
    """Detect in all scenes, writing each as it is done; exit status 1 where a scene was left out.

    Of several processes, which torchrun starts, each takes its share of the scenes; the first writes the summary.
    """
    for name in ("batch_size", "tile"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be at least 1")
    if args.score_thr is not None and not 0 <= args.score_thr <= 1:
        raise UserError(f"--score-thr {args.score_thr:g}: must be from 0 to 1")
    if not 0.1 <= args.scale <= 10:
        raise UserError(f"--scale {args.scale:g}: must be from 0.1 to 10")
    configuration.check_files(args.config, args.checkpoint)
    scenes = find_scenes(args.scenes)
    if args.out.exists() and not args.out.is_dir():
        raise UserError(f"--out {args.out}: is a file; name a folder")
    configuration.choose_device(args.device)
    configuration.quieten()
    args.cfg_options, args.work_dir, args.amp = [], None, False
    cfg = configuration.load(args)

    import torch
    from torch import distributed

    from oil_storage.files import remove_partial, sha256, write_json
    from oil_storage.inference.scene_detector import SceneDetector

    rank, processes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if processes > 1:
        distributed.init_process_group("gloo", timeout=LONGEST_RUN)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    detector = SceneDetector(
        cfg,
        args.checkpoint,
        score_thr=args.score_thr,
        batch_size=args.batch_size,
        tile=args.tile,
        overlap=args.overlap,
        scale=args.scale,
        tta=args.tta,
        backend=args.backend,
        bands=args.bands,
        stretch=args.stretch,
    )
    if detector.made_with not in (None, args.config.stem) and is_first_process():
        print(
            f"{args.checkpoint}: was trained with the config {detector.made_with}; {args.config.stem} may look at "
            "scenes otherwise, and find less",
            file=sys.stderr,
        )
    looks = cfg.model.to_dict(), [dict(step) for step in cfg.test_dataloader.dataset.pipeline]
    made_by = {
        "config": args.config.stem,
        "config_sha256": hashlib.sha256(json.dumps(looks, sort_keys=True, default=str).encode()).hexdigest(),
        "checkpoint_sha256": sha256(args.checkpoint),
        "score_threshold": detector.threshold,
        "tile": detector.reader.tile,
        "overlap": args.overlap,
        "scale": args.scale,
        "tta": args.tta,
        **asdict(detector.reader.reading),
        "html": args.html,
    }
    (args.out / PICTURES).mkdir(parents=True, exist_ok=True)
    for folder in (args.out, args.out / PICTURES):
        remove_partial(folder)
    left_out = _detect(detector, scenes[rank::processes], args.out, made_by)
    if processes > 1:
        of_all: list[dict[str, str]] = [{}] * processes
        distributed.all_gather_object(of_all, left_out)  # waits for all
        distributed.destroy_process_group()
        left_out = dict(item for one in of_all for item in one.items())
    if is_first_process():
        entries = [one for path in scenes if (one := _done(path, args.out, made_by)) is not None]
        write_json(args.out / "summary.json", {"made_by": made_by, "scenes": entries, "left_out": left_out})
        print(_table(entries))
        _say_notes(entries)
        endings = ".geojson, .gpkg, .csv, .coco.json" + (", .html" if args.html else "")
        of_each = f", {PICTURES}/, and of each scene {endings}" if entries else ""
        print(f"written to {args.out}: summary.json{of_each}")
        if left_out:
            print(f"{len(left_out)} of {len(scenes)} scenes were left out")
    return 1 if left_out else 0


def _detect(detector: "SceneDetector", scenes: Sequence[Path], out: Path, made_by: Mapping[str, Any]) -> dict[str, str]:
    """Detect in what is not done yet; what one scene leaves is written while the next is looked at.

    Returns:
        dict: why by the path of each that was left out.
    """
    from tqdm import tqdm

    todo = [path for path in scenes if _done(path, out, made_by) is None]
    if len(todo) < len(scenes):
        print(f"{len(scenes) - len(todo)} of {len(scenes)} scenes are done already")
    left_out: dict[str, str] = {}
    writing: tuple[Path, Future[None]] | None = None
    quiet = not is_first_process()
    with ThreadPoolExecutor(1) as writer:
        for source, found in tqdm(detector.detect_all(todo), total=len(todo), unit="scene", delay=2, disable=quiet):
            assert isinstance(source, Path)  # as all that were given
            if isinstance(found, UserError):
                _leave_out(source, str(found), left_out)
                if _made_from(source.stem, out) == str(source.resolve()):
                    _take_away(source, out)
                continue
            if other := _replaced(source, out):
                tqdm.write(f"{source}: takes the place of {other}, of the same name, in {out}")
            if writing is not None:
                _end_writing(*writing, out, left_out)  # no more than one waits
            writing = source, writer.submit(_write, source, found, detector, out, made_by)
        if writing is not None:
            _end_writing(*writing, out, left_out)
    return left_out


def _end_writing(source: Path, writing: "Future[None]", out: Path, left_out: dict[str, str]) -> None:
    """Wait until a scene's files are written; one that cannot be drawn does not keep others from it, a full disk does.

    Raises:
        UserError: nothing can be written.
    """
    try:
        writing.result()
    except OSError as error:
        raise UserError(f"{source}: what was found cannot be written to {out}: {error}") from error
    except Exception as error:
        why = str(error) if isinstance(error, UserError) else f"{source}: {type(error).__name__}: {error}"
        _leave_out(source, why, left_out)
        _take_away(source, out)


def _leave_out(source: Path, why: str, left_out: dict[str, str]) -> None:
    from tqdm import tqdm

    left_out[str(source)] = why
    tqdm.write(f"left out: {why}")


def _take_away(source: Path, out: Path) -> None:
    """Remove what was written of a scene."""
    from oil_storage.inference.map_files import FORMATS

    for ending in (DONE, *FORMATS, ".html"):
        (out / f"{source.stem}{ending}").unlink(missing_ok=True)
    (out / PICTURES / f"{source.stem}.jpg").unlink(missing_ok=True)


def _made_from(name: str, out: Path) -> str | None:
    """The file whose results of that name are there, if any."""
    try:
        source: str | None = json.loads((out / f"{name}{DONE}").read_text(encoding="utf-8")).get("source")
    except (OSError, ValueError):
        return None
    return source


def _replaced(scene: Path, out: Path) -> str | None:
    """The other file of the same name whose results are about to be replaced, if any."""
    before = _made_from(scene.stem, out)
    return None if before in (None, str(scene.resolve())) else before


def _write(
    source: Path, found: "SceneDetections", detector: "SceneDetector", out: Path, made_by: Mapping[str, Any]
) -> None:
    """All files of a scene, the one by which it is known to be done last."""
    from oil_storage.files import write_bytes, write_json, write_text
    from oil_storage.imagery import open_scene
    from oil_storage.inference.map_files import summary, write
    from oil_storage.inference.picture import picture
    from oil_storage.inference.scene_page import scene_page
    from oil_storage.inference.sites import measure

    measures = measure(found)
    about = {"source": str(source.resolve()), "file": _version(source)}
    (out / f"{source.stem}{DONE}").unlink(missing_ok=True)  # of another run
    write(found, measures, out)
    image = open_scene(source, detector.reader.reading)
    if made_by["html"]:
        write_text(out / f"{source.stem}.html", scene_page(image, found, measures, detector.threshold))
    else:
        (out / f"{source.stem}.html").unlink(missing_ok=True)
    write_bytes(out / PICTURES / f"{source.stem}.jpg", picture(image, found))
    write_json(out / f"{source.stem}{DONE}", {**summary(found, measures), **about, "made_by": made_by})


def find_scenes(named: Sequence[str]) -> list[Path]:
    """The image files that the command line means, in order.

    Raises:
        UserError: something that is not there, nothing at all, or two scenes of one name.
    """
    from oil_storage.imagery import SUFFIXES

    found: list[Path] = []
    for name in named:
        path = Path(name)
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.name[0] != ".")
            if not inside:
                raise UserError(f"{path}: no image in it; scenes end in {', '.join(SUFFIXES)}")
            found += inside
        elif path.suffix.lower() == LIST and path.is_file():
            try:
                lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
            except UnicodeDecodeError as error:
                raise UserError(f"{path}: a list of scenes must be UTF-8 text ({error}); save it as that") from error
            if not any(lines):
                raise UserError(f"{path}: no scene in it; a list names one a line")
            found += [path.parent / line for line in lines if line]
        elif path.exists():
            found.append(path)
        else:
            matching = sorted(map(Path, glob.glob(name)))
            if not matching:
                raise UserError(f"{name}: no such file, folder, or file of this pattern")
            found += matching
    by_name: dict[str, Path] = {}
    for one in found:
        other = by_name.setdefault(one.stem, one)
        if other.resolve() != one.resolve():
            raise UserError(f"{other} and {one}: results are called by the scene's name; run one of them elsewhere")
    return list(by_name.values())


def _done(scene: Path, out: Path, made_by: Mapping[str, Any]) -> dict[str, Any] | None:
    """What is known of a scene that was done in the same way; None where it has to be done."""
    path = out / f"{scene.stem}{DONE}"
    if not path.is_file() or not scene.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None  # it is written again
    same = json.loads(json.dumps(made_by)) == content.pop("made_by", None)
    return content if same and content.pop("file", None) == _version(scene) else None


def _version(scene: Path) -> dict[str, list[int]]:
    """What tells a file, and where on earth it lies, from another of its name, without reading all of it."""
    from oil_storage.georeference import sidecars

    files = {file.name: file.stat() for file in (scene, *sidecars(scene))}
    return {name: [status.st_size, status.st_mtime_ns] for name, status in files.items()}


def _say_notes(entries: Sequence[dict[str, Any]]) -> None:
    """Say on stderr what was done to the stored pixels of scenes, a line for each kind."""
    scenes: dict[str, list[str]] = {}
    for one in entries:
        for note in one["notes"].values():
            scenes.setdefault(note, []).append(one["scene"])
    for note, names in scenes.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        print(f"{names[0]}{more}: {note}", file=sys.stderr)


def _table(entries: Sequence[dict[str, Any]]) -> str:
    width = max([len(one["scene"]) for one in entries] + [len("scene")])
    lines = [f"{'scene':<{width}}{'tanks':>8}{'sites':>8}  diameters"]
    for one in entries:
        unit = "px" if one["gsd"] is None else "m"
        spread = ", ".join(f"{span} {unit}: {count}" for span, count in one[f"diameters_{unit}"].items() if count)
        lines.append(f"{one['scene']:<{width}}{one['tanks']:>8}{len(one['sites']):>8}  {spread or '-'}")
    if len(entries) > 1:
        lines.append(f"{'all':<{width}}{sum(one['tanks'] for one in entries):>8}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of ``tools/detect.py``."""
    return run(build_parser(), detect, argv)
