"""Detection of oil storage tanks in satellite images with MMDetection."""

__version__ = "0.1.0"
