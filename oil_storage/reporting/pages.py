"""Render self-contained HTML pages from the templates of this package."""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oil_storage import __version__
from oil_storage.drawing import jpeg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render(template: str, content: Mapping[str, Any]) -> str:
    """Render a template of ``templates/`` with ``content`` and the package's ``version``."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(loader=PackageLoader("oil_storage.reporting"), autoescape=select_autoescape())
    return environment.get_template(template).render(content, version=__version__)


def jpeg_uri(pixels: NDArray[np.uint8]) -> str:
    """Encode RGB pixels ``(H, W, 3)`` as the data URI of a JPEG file, or an empty text if there are no pixels."""
    return _uri(jpeg(pixels), "jpeg") if pixels.size else ""


def png_uri(figure: "Figure") -> str:
    """Encode a figure as the data URI of a PNG file."""
    return _uri(png(figure), "png")


def png(figure: "Figure") -> bytes:
    """Encode a figure as a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return file.getvalue()


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
