"""Scene on a web server, read by range requests."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from oil_storage.errors import UserError
from oil_storage.imagery import DEFAULT_READING, FileImage, Reading
from oil_storage.inference.remote_file import WAITS, forget
from oil_storage.inference.scene_asset import SceneAsset

LARGEST_UNTILED = 2**28
"""Maximum size, in bytes, of a TIFF that is not tiled. Nearly all of it is read, whatever part is needed."""

Result = TypeVar("Result")


class RemoteImage(FileImage):
    """Scene in a TIFF on a server.

    If a window is needed at a lower resolution, it is read from the overviews of the file. If the connection is
    dropped, the window is read again.

    Raises:
        UserError: see :class:`FileImage`; or the server cannot be reached, or refuses range requests, or the file is
            large and not tiled.
    """

    def __init__(self, asset: SceneAsset, reading: Reading = DEFAULT_READING) -> None:
        self._asset = asset
        asset.open()  # an error that another attempt does not change
        super().__init__(asset, reading)
        block_height, block_width = self._raster.block_shapes[0]
        is_tiled = block_width < self._raster.width or block_height >= self._raster.height
        if not is_tiled and (asset.size or 0) > LARGEST_UNTILED:
            raise UserError(
                f"{asset}: is not tiled, so nearly all of its {asset.size or 0:,} bytes would be read; download it, or "
                "convert it on the server: gdal_translate -of COG IN.tif OUT.tif"
            )

    def _opened(self) -> Any:
        return self._persistently(super()._opened)

    def _decode(self, **arguments: Any) -> Any:
        return self._persistently(partial(super()._decode, **arguments))

    def shows(self, window: NDArray[np.int64], least: tuple[int, int] | None = None) -> bool:
        """Return whether any pixel of a window has data; see :meth:`FileImage.shows`."""
        return self._persistently(partial(super().shows, window, least))

    def _part(self, window: NDArray[np.int64], least: tuple[int, int] | None) -> dict[str, Any]:
        """Read a window at the size ``least`` if an overview is detailed enough for it."""
        from rasterio.enums import Resampling

        part = super()._part(window, least)
        overviews = self._raster.overviews(self._bands[0])
        if least is None or not overviews or self._palette is not None:
            return part
        size = window[2:] - window[:2]
        if (size / least).min() < overviews[0]:
            return part
        width, height = self._stored_size(least)
        return {**part, "out_shape": (height, width), "resampling": Resampling.average}

    def _persistently(self, read: Callable[[], Result]) -> Result:
        """Call ``read``, and repeat it if the file cannot be read, because the connection may have been dropped."""
        waits = iter(WAITS)
        while True:
            try:
                return read()
            except UserError as error:
                cause = error.__cause__
                if cause is None or isinstance(cause, MemoryError):
                    raise  # the file can be read, but is not supported
                wait = next(waits, None)
                if wait is None:
                    reason = str(cause.__cause__ or cause).rpartition(": ")[2].rstrip(".")
                    raise UserError(
                        f"{self._asset}: cannot be read in {1 + len(WAITS)} attempts ({reason}); run the command again "
                        "later, or download the file"
                    ) from error
            time.sleep(wait)
            forget(self._asset.location)
