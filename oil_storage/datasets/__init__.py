"""The data set and the transforms that mmdet lacks; importing this registers them."""

from oil_storage.datasets.oil_storage import OilStorageDataset
from oil_storage.datasets.transforms import RandomTileCrop, RandomTranspose

__all__ = ["OilStorageDataset", "RandomTileCrop", "RandomTranspose"]
