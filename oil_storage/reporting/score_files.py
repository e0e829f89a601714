"""Names of the files that a score consists of."""

METRICS, DETECTIONS, TRUTH = "metrics.json", "detections.json", "ground_truth.json"
"""The ground truth's is written by ``tools/evaluate.py``; ``tools/test.py`` has it in its data."""
