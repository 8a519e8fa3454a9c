"""Simple methods that others are compared with: the paper's three, and what a user would try first."""
