"""Readers and writers of annotation formats, one module per format. Readers do not validate boxes."""

from oil_storage.annotations.record import Annotations, ImageRecord, Record

__all__ = ["Annotations", "ImageRecord", "Record"]
