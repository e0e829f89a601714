"""Detection of oil storage tanks in satellite images, on MMDetection."""

__version__ = "0.1.0"
