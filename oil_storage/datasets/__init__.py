"""Data set and transforms; importing this module registers them with mmdet."""

from oil_storage.datasets.oil_storage import OilStorageDataset
from oil_storage.datasets.transforms import RandomTileCrop, RandomTranspose

__all__ = ["OilStorageDataset", "RandomTileCrop", "RandomTranspose"]
