"""Sharing certified at size: a bound from prices of load, and placements near it, slot by slot."""
