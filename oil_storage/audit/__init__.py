"""Audit labelled scenes: annotations, pixels and shared ground."""
