"""Names of the files that a score consists of."""

METRICS, DETECTIONS, TRUTH = "metrics.json", "detections.json", "ground_truth.json"
"""The ground truth's is written by ``tools/evaluate.py``; ``tools/test.py`` has it in its data."""
TILE_DETECTIONS = "tile_detections.json"
"""Of ``tools/test.py``: COCO results, whose image ids are those of the split's json of tiles."""
