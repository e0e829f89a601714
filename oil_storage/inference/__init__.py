"""Detection of tanks in whole scenes. PyTorch is imported only for detectors that run in it."""

from oil_storage.inference.output_folder import detect_scenes
from oil_storage.inference.scene_detections import SceneDetections
from oil_storage.inference.scene_detector import SceneDetector

__all__ = ["SceneDetections", "SceneDetector", "detect_scenes"]
