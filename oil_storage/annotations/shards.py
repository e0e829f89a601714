"""Shards: files with the parts of one file, whose names contain their number and the total."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from oil_storage.annotations.record import Annotations
from oil_storage.findings import Severity

SHARD = re.compile(r"(.*?)(\d+)[-_ ]?of[-_ ]?(\d+)(?!\d).*", re.IGNORECASE)
"""Name of a shard: ``train.record-00000-of-00003``, ``train-00000-of-00003.tfrecord``, ``part_0001_of_0003.json``."""


def report_missing_shards(files: Sequence[Path], images: Iterable[Path], annotations: Annotations) -> None:
    """Report an error for each set of shards that is not complete. Shards are numbered from 0 or from 1.

    Args:
        files: annotation files.
        images: images of the data set. A file with the name of an image is not a shard.
        annotations: receives the findings.
    """
    stems = {image.stem for image in images}
    shards: dict[tuple[Path, str, int], dict[int, Path]] = defaultdict(dict)
    for file in files:
        if (match := SHARD.fullmatch(file.name)) and file.stem not in stems:
            shards[file.parent, match[1], int(match[3])][int(match[2])] = file
    for (folder, _, total), by_number in shards.items():
        start = 1 if total in by_number else 0
        if absent := [number for number in range(start, start + total) if number not in by_number]:
            other = next(iter(by_number.values()))
            first, last = SHARD.fullmatch(other.name).span(2)  # type: ignore[union-attr]
            name = f"{other.name[:first]}{absent[0]:0{last - first}d}{other.name[last:]}"
            problem = f"only {len(by_number)} of {total} shards are in {folder}; {name} is missing"
            annotations.report("missing-shard", str(other), problem, "the other shards are read", Severity.ERROR)
