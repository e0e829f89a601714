"""Prepare a data set for training: audit and split the scenes, and cut them into tiles."""
