"""Images that a URL or a STAC item names."""

import io
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from oil_storage.errors import UserError
from oil_storage.image_file import DRIVERS
from oil_storage.inference.remote_file import bytes_read, first_bytes, gdal_name, is_url, shown


@dataclass(frozen=True)
class SceneAsset:
    """Image that a URL or a STAC item names. It has those attributes of a path that reading an image needs.

    Attributes:
        location: URL or path of the image.
        stem: name of the scene.
        read_before: bytes that this process had read from the URL when the object was created.
    """

    location: str
    stem: str
    read_before: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Store the number of bytes that were read before."""
        object.__setattr__(self, "read_before", bytes_read(self.location) if self.is_remote else 0)

    def __str__(self) -> str:
        return shown(self.location) if self.is_remote else self.location

    def __fspath__(self) -> str:
        return gdal_name(self.location) if self.is_remote else self.location

    @property
    def is_remote(self) -> bool:
        """Whether the image is on a server."""
        return is_url(self.location)

    @property
    def name(self) -> str:
        """Name of the scene with the suffix of its image."""
        return self.stem + (".tif" if self.is_remote else Path(self.location).suffix)

    @property
    def parent(self) -> PurePosixPath:
        """Folder of the image."""
        return PurePosixPath(str(self)).parent

    def exists(self) -> bool:
        """Return whether there is a file; True for a URL, because :meth:`open` reports its errors."""
        return self.is_remote or Path(self.location).exists()

    def is_file(self) -> bool:
        """Return whether there is a file; True for a URL, because :meth:`open` reports its errors."""
        return self.is_remote or Path(self.location).is_file()

    def read_bytes(self) -> bytes:
        """Read the whole file."""
        return Path(self.location).read_bytes()

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Open the file; a remote file ends after its first bytes.

        Raises:
            UserError: the server cannot be reached, refuses the request or sends only whole files, or the file is not
                a TIFF.
        """
        if not self.is_remote:
            return Path(self.location).open(mode)
        start = first_bytes(self.location)
        if DRIVERS.get(start.content[:4]) != "GTiff":
            raise UserError(f"{self}: not a TIFF, and only TIFFs are read from servers; download the file")
        if not start.has_ranges:
            raise UserError(f"{self}: the server sends only whole files (no range requests); download the file")
        return io.BytesIO(start.content)

    @property
    def size(self) -> int | None:
        """Size of a remote image in bytes; None if the server does not state it."""
        return first_bytes(self.location).size

    def bytes_read(self) -> int:
        """Return the number of bytes that this process has read of a remote image since the object was created."""
        return bytes_read(self.location) - self.read_before
