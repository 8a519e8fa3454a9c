"""Patterns of runs of blocks that a server can hold together, convexified."""
