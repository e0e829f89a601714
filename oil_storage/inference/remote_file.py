"""Files on web servers: their first bytes, JSON documents, and their names for GDAL.

GDAL reads parts of a file by range requests (https://gdal.org/en/stable/user/virtual_file_systems.html#vsicurl). The
first request is made here, because GDAL's own messages do not tell a missing file from a refused one or from a page of
HTML.
"""

import ctypes
import json
import os
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException, HTTPMessage
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import Request, urlopen

from oil_storage import __version__
from oil_storage.errors import UserError

START = 2**14
"""Number of bytes of the first request, as in GDAL. They contain the header of a Cloud Optimized GeoTIFF."""
LARGEST_JSON = 2**24
"""Maximum size of a JSON document in bytes."""
TIMEOUT = 30.0
"""Seconds without data after which a connection counts as dropped."""
WAITS = (1.0, 2.0, 4.0)
"""Seconds before the second and each further attempt."""
PASSING = (408, 429, 500, 502, 503, 504)
"""HTTP statuses after which a request is repeated, as in GDAL."""

# GDAL reads these variables at each request. Values that the user has set take precedence.
for _name, _value in {
    "CPL_VSIL_NETWORK_STATS_ENABLED": "YES",
    "GDAL_HTTP_MAX_RETRY": str(len(WAITS)),
    "GDAL_HTTP_RETRY_DELAY": "1",
    "GDAL_HTTP_CONNECTTIMEOUT": f"{TIMEOUT:g}",
    "GDAL_HTTP_LOW_SPEED_TIME": f"{TIMEOUT:g}",  # seconds below the limit
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",  # bytes per second
}.items():
    os.environ.setdefault(_name, _value)

_fetched: Counter[str] = Counter()
"""Bytes that :func:`first_bytes` has read, by URL."""


@dataclass(frozen=True)
class Start:
    """Start of a file on a server.

    Attributes:
        content: the first bytes, at most :data:`START`.
        size: size of the file in bytes; None if the server does not state it.
        version: number that changes if the server states another time or tag for the file.
        has_ranges: whether the server sends parts of the file.
    """

    content: bytes
    size: int | None
    version: int
    has_ranges: bool


def is_url(name: str) -> bool:
    """Return whether a name is an ``http`` or ``https`` URL."""
    return name.lower().startswith(("http://", "https://"))


def shown(url: str) -> str:
    """Return a URL without user name, password and query, which can contain credentials."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def gdal_name(url: str) -> str:
    """Return the name by which GDAL reads a URL. GDAL neither lists the folder nor looks for files next to it."""
    head = "no" if urlsplit(url).query else "yes"  # many signed URLs are valid for GET requests only
    return f"/vsicurl?empty_dir=yes&use_head={head}&url={quote(_ascii(url), safe='')}"


@cache
def first_bytes(url: str) -> Start:
    """Read the first bytes of a file; the result is kept until the process ends.

    Raises:
        UserError: the server cannot be reached, or refuses the request.
    """
    status, headers, content = _get(url, START, {"Range": f"bytes=0-{START - 1}"})
    _fetched[url] += len(content)
    has_ranges = status == 206
    size = headers.get("Content-Range", "").rpartition("/")[2] if has_ranges else headers.get("Content-Length", "")
    tag = headers.get("ETag") or headers.get("Last-Modified") or ""
    return Start(content, int(size) if size.isdigit() else None, zlib.crc32(tag.encode()), has_ranges)


def read_json(url: str) -> Any:
    """Read a JSON document.

    Raises:
        UserError: the server cannot be reached or refuses the request, or the document is not JSON or too large.
    """
    _, _, content = _get(url, LARGEST_JSON + 1, {})
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        problem = f"larger than {LARGEST_JSON >> 20} MiB" if len(content) > LARGEST_JSON else f"not JSON ({error})"
        raise UserError(f"{shown(url)}: {problem}; give the URL of a GeoTIFF or of a STAC item") from error


def bytes_read(url: str) -> int:
    """Return the number of bytes that this process has read from a file on a server."""
    gdal = _gdal()
    text = gdal.VSINetworkStatsGetAsSerializedJSON(None)
    statistics = json.loads(ctypes.string_at(text)) if text else {}
    gdal.VSIFree(text)
    methods = statistics.get("handlers", {}).get("vsicurl", {}).get("files", {}).get(gdal_name(url), {}).get("methods")
    return _fetched[url] + sum(int(method.get("downloaded_bytes", 0)) for method in (methods or {}).values())


def forget(url: str) -> None:
    """Remove a file from GDAL's cache, which also remembers failed requests."""
    _gdal().VSICurlPartialClearCache(gdal_name(url).encode())


@cache
def _gdal() -> ctypes.CDLL:
    """Return rasterio's GDAL, for functions that rasterio does not offer."""
    from rasterio import _env

    library = ctypes.CDLL(_env.__file__)
    library.VSINetworkStatsGetAsSerializedJSON.restype = ctypes.c_void_p
    library.VSIFree.argtypes = [ctypes.c_void_p]
    return library


def _ascii(url: str) -> str:
    return quote(url, safe="%/:?&=#[]@!$'()*+,;~")


def _get(url: str, most: int, headers: dict[str, str]) -> tuple[int, HTTPMessage, bytes]:
    """Return status, headers and at most ``most`` bytes of an answer. Repeat the request if the connection drops."""
    reason = ""
    for wait in (0.0, *WAITS):
        time.sleep(wait)
        request = Request(_ascii(url), headers={"User-Agent": f"oil-storage/{__version__}", **headers})
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:
                content = answer.read(most)
                length = answer.headers.get("Content-Length", "")
                if length.isdigit() and len(content) < min(most, int(length)):
                    raise ConnectionError("the connection was dropped")
                return answer.status, answer.headers, content
        except HTTPError as error:
            if error.code not in PASSING:
                raise UserError(f"{shown(url)}: {_refusal(error.code)}") from error
            reason = f"HTTP {error.code}"
        except (OSError, HTTPException) as error:
            reason = str(error.reason if isinstance(error, URLError) else error) or type(error).__name__
    raise UserError(
        f"{shown(url)}: no answer in {1 + len(WAITS)} attempts ({reason}); check the URL, the network and the proxy "
        "(https_proxy), and run the command again"
    )


def _refusal(status: int) -> str:
    if status in (401, 403, 407):
        return f"access refused (HTTP {status}); give a URL that needs no login, such as a signed one"
    if status in (404, 410):
        return f"no such file on the server (HTTP {status}); check the URL"
    return f"the server answered HTTP {status}; check the URL, or download the file"
