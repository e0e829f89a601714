"""Measure the common error of the boxes of a scene with a small network that was trained on rendered tanks."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray

from oil_storage.audit.alignment.roundness import Floats

CONTEXT = 2.5
"""Side of an image patch, in box sides. A patch shows the edge of the object even if the box is small or shifted."""
SIDE = 40
"""Side of a patch in pixels."""
FINEST = 8
"""Maximum oversampling factor of a patch, before it is downsampled to :data:`SIDE`."""
FAINT = 8.0
"""Grey levels added to the standard deviation that normalizes a patch, so that noise is not amplified."""
SAMPLE = 60
"""Maximum number of boxes that are measured in a scene. They determine the median error to 1 %."""
ROUNDS = 3
"""Number of rounds. Each round measures the remaining error, because the network underestimates large errors."""
NETWORK = "box_error.onnx"
"""Network trained by ``benchmarks/train_box_error.py`` on rendered scenes only."""


@dataclass(frozen=True)
class BoxError:
    """Error that the boxes of a scene have in common.

    Attributes:
        shift: ``(dx, dy)`` in pixels.
        size: width and height of the boxes, as multiples of the width and height of their objects.
    """

    shift: tuple[float, float]
    size: tuple[float, float]

    def undone(self, boxes: Floats) -> Floats:
        """Return boxes ``(N, 4)`` xyxy without the error: shifted back, and resized about their centres."""
        centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2 - self.shift, (boxes[:, 2:] - boxes[:, :2]) / 2 / self.size
        return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def common_error(grey: NDArray[np.uint8], boxes: Floats) -> BoxError:
    """Measure the common shift and size of boxes ``(N, 4)`` xyxy, ``N > 0``, in an image ``(H, W)``.

    The boxes must be within half a side of their objects and have 1/3 to 3 times the size of the objects. Otherwise the
    result is meaningless, and the boxes that :meth:`BoxError.undone` returns have a low roundness.
    """
    if len(boxes) > SAMPLE:
        boxes = np.random.default_rng(0).choice(boxes, SAMPLE, replace=False)
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    shift: NDArray[np.float64] = np.zeros(2)
    size: NDArray[np.float64] = np.ones(2)
    for _ in range(ROUNDS):
        errors, spreads = _errors(cut_patches(grey, np.concatenate([centre - sides / 2, centre + sides / 2], axis=1)))
        moved = _median(errors[:, :2] * sides, spreads[:, :2] * sides)
        scaled = np.exp(_median(errors[:, 2:], spreads[:, 2:]))
        shift, size = shift + moved, size * scaled
        centre, sides = centre - moved, sides / scaled
    return BoxError((float(shift[0]), float(shift[1])), (float(size[0]), float(size[1])))


def cut_patches(grey: NDArray[np.uint8], boxes: NDArray[np.floating]) -> Floats:
    """Cut patches of an image ``(H, W)`` around boxes ``(N, 4)`` xyxy, which may extend beyond the image.

    Returns:
        ``(N, SIDE, SIDE)`` float32 patches, each with mean 0 and normalized contrast.
    """
    patches = np.zeros((len(boxes), SIDE, SIDE), dtype=np.float32)
    for patch, (x1, y1, x2, y2) in zip(patches, boxes.astype(np.float64), strict=True):
        shown = np.array((x2 - x1, y2 - y1)) * CONTEXT
        first = np.array((x1 + x2, y1 + y2)) / 2 - shown / 2
        # crop first, because OpenCV does not accept sides of 2 ** 15
        left, top = np.floor(first - 1).clip(0, grey.shape[::-1]).astype(int)
        right, bottom = np.ceil(first + shown + 1).clip(0, grey.shape[::-1]).astype(int)
        if left >= right or top >= bottom:
            continue
        finer = SIDE * int(np.clip(np.ceil(shown.max() / SIDE), 1, FINEST))
        step = shown / finer
        origin = first + step / 2 - 0.5 - (left, top)  # the origin of OpenCV is the centre of the first pixel
        warp = np.array([[step[0], 0, origin[0]], [0, step[1], origin[1]]])
        flags, image = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, grey[top:bottom, left:right]
        fine = cv2.warpAffine(image, warp, (finer, finer), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        patch[:] = cv2.resize(fine, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    patches -= patches.mean(axis=(1, 2), keepdims=True)
    patches /= patches.std(axis=(1, 2), keepdims=True) + FAINT
    return patches


@cache
def _network() -> cv2.dnn.Net:
    return cv2.dnn.readNetFromONNX(np.frombuffer(files(__package__).joinpath(NETWORK).read_bytes(), dtype=np.uint8))


def _errors(patches: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the errors ``(N, 4)`` of boxes and the spreads ``(N, 4)`` of these estimates.

    The columns are the shift in x and y, in box sides, and the logarithm of the size in x and y.
    """
    network = _network()
    network.setInput(patches[:, None])
    output = network.forward().astype(np.float64)
    return output[:, :4], np.exp(output[:, 4:])


def _median(values: NDArray[np.float64], spreads: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median of each column, weighted by the inverse spread."""
    order = np.argsort(values, axis=0)
    weights = np.take_along_axis(1 / spreads, order, axis=0).cumsum(axis=0)
    middle = (weights < weights[-1] / 2).sum(axis=0)
    return np.asarray(np.take_along_axis(values, order, axis=0)[middle, np.arange(values.shape[1])])
