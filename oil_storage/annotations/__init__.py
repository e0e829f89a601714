"""Readers, one module per format: ``read(source)`` returns records as written and judges nothing."""

from oil_storage.annotations.record import Record

__all__ = ["Record"]
