"""Data set and transforms; importing this module registers them with mmdet."""

from oil_storage.datasets.backgrounds import RandomBackground
from oil_storage.datasets.oil_storage import OilStorageDataset
from oil_storage.datasets.transforms import RandomCoarsening, RandomTileCrop, RandomTranspose

__all__ = ["OilStorageDataset", "RandomBackground", "RandomCoarsening", "RandomTileCrop", "RandomTranspose"]
