"""Readers, one module per format: each returns what is written and judges nothing."""

from oil_storage.annotations.record import Annotations, ImageRecord, Record

__all__ = ["Annotations", "ImageRecord", "Record"]
