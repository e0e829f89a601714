"""From files in any state to a data set that can be trained on: audit, split, cut into tiles."""
