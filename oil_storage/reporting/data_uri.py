"""Pictures inside a page, so that it stands alone."""

import base64
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def jpeg_uri(pixels: NDArray[np.uint8]) -> str:
    """A data URI of RGB pixels ``(H, W, 3)``; empty where there are none."""
    return _uri(jpeg(pixels), "jpeg") if pixels.size else ""


def png_uri(figure: "Figure") -> str:
    """A data URI of a figure."""
    return _uri(png(figure), "png")


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A JPEG file of RGB pixels ``(H, W, 3)``."""
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return encoded.tobytes()


def png(figure: "Figure") -> bytes:
    """A PNG file of a figure."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
