"""Checkpoints: read, validate, write, find, resume and download them. No code from a checkpoint is ever run."""
