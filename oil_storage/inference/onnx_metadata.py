"""Metadata in the ONNX files of exported detectors."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import FiniteFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter

from oil_storage.errors import UserError
from oil_storage.inference.tile_detector import Description

KEY = "oil_storage"
"""Key in the metadata of an ONNX file; its value is :class:`Metadata` as JSON."""
METADATA_FIELD, KEY_FIELD, VALUE_FIELD = 14, 1, 2
"""Field numbers in onnx.proto: ``ModelProto.metadata_props``, and ``key`` and ``value`` of an entry."""


@dataclass(frozen=True, kw_only=True)
class Metadata(Description):
    """Metadata of an exported detector.

    Attributes:
        size: height and width of the network's input, in pixels.
        resize: factor by which tiles are resized before the network, or the width and height to which they are.
        padding: RGB colour with which smaller tiles are padded.
        clips: whether boxes are clipped to the tile.
        levels: number of candidates on each level of the feature pyramid; empty for detectors without levels.
        checkpoint_sha256: SHA-256 of the exported checkpoint.
        int8_for: for a network that computes in 8 bits: backends and kinds of processors, for example ``onnx/vnni``,
            with which it was faster and nearly as accurate as the float32 network; see ``tools/release.py``.
    """

    size: tuple[PositiveInt, PositiveInt]
    resize: PositiveFloat | tuple[PositiveInt, PositiveInt] = 1.0
    padding: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    clips: bool
    levels: list[NonNegativeInt]
    checkpoint_sha256: str = ""
    int8_for: list[str] = field(default_factory=list)


def read_metadata(path: Path) -> Metadata:
    """Read the metadata of an exported detector, without loading its network.

    Raises:
        UserError: ``tools/export.py`` did not write the file.
    """
    try:
        entries = [dict(_fields(value)) for number, value in _fields(path.read_bytes()) if number == METADATA_FIELD]
        stored = {entry[KEY_FIELD]: entry[VALUE_FIELD] for entry in entries}
        return TypeAdapter(Metadata).validate_json(stored[KEY.encode()], strict=True)
    except (ValueError, KeyError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a detector that tools/export.py wrote ({reason}); export it again") from error


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the fields of a protobuf message that have a length. Skip the others.

    Source: https://protobuf.dev/programming-guides/encoding.

    Raises:
        ValueError: the message is damaged.
    """
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = _varint(view, at)
        match tag & 7:
            case 0:
                _, at = _varint(view, at)
            case 1:
                at += 8
            case 2:
                length, at = _varint(view, at)
                if at + length > len(view):
                    raise ValueError("the file is cut off")
                yield tag >> 3, bytes(view[at : at + length])
                at += length
            case 5:
                at += 4
            case other:
                raise ValueError(f"wire type {other} is not valid")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the integer at a position, and the position after it."""
    number = shift = 0
    while view[at] & 128:
        number |= (view[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return number | view[at] << shift, at + 1
