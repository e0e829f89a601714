"""Detection of tanks in whole scenes."""

from typing import TYPE_CHECKING, Any

from oil_storage.inference.output_folder import detect_scenes
from oil_storage.inference.scene_detections import SceneDetections

if TYPE_CHECKING:
    from oil_storage.inference.scene_detector import SceneDetector

__all__ = ["SceneDetections", "SceneDetector", "detect_scenes"]


def __getattr__(name: str) -> Any:
    """Import ``SceneDetector`` only when it is used, because its module imports torch."""
    if name != "SceneDetector":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from oil_storage.inference.scene_detector import SceneDetector

    return SceneDetector
