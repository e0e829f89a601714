"""From a scene to its tanks."""

from oil_storage.inference.scene_detector import SceneDetections, SceneDetector

__all__ = ["SceneDetections", "SceneDetector"]
